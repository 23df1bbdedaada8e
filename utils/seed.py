"""Random state: set, taken, put back."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from utils.distributed import rank
from utils.errors import UserError


def require_seed(seed: int) -> None:
    """Refuse what no generator takes.

    Raises:
        UserError: If the seed is out of range.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"seed is {seed}; it is a whole number from 0 to 4294967295")


def seed_everything(seed: int, deterministic: bool = False) -> None:
    """Seed Python, NumPy and torch.

    Args:
        seed: Any whole number from 0 up.
        deterministic: Make torch take deterministic algorithms, and warn where it has none.

    Raises:
        UserError: If the seed is out of range.
    """
    require_seed(seed)
    if deterministic:  # cuBLAS reads it when CUDA starts
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    torch.use_deterministic_algorithms(deterministic, warn_only=True)


def part_ways(seed: int) -> None:
    """Give each process but the main one random numbers of its own, after all built one model."""
    if rank():
        torch.manual_seed(seed + rank())


@contextmanager
def aside(seed: int = 0) -> Iterator[None]:
    """Random numbers from a seed of their own; then all generators stand where they stood."""
    state = random_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        restore_random_state(state)


def random_state() -> dict[str, Any]:
    """The state of every generator, as tensors and plain types."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [kind, keys.tolist(), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` took."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    for device, each in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
        torch.cuda.set_rng_state(each, device)
