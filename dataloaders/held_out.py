"""A seeded part of a data set held out for validation, where it has no split of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def held_out(items: Sequence[Any], split: str, fraction: float, seed: int) -> list[Any]:
    """Those of `items`, in their order, that belong to a split.

    Args:
        items: In an order that does not change from run to run.
        split: "val" for a random share, "train" for the rest.
        fraction: The share of "val", between 0 and 1; at least one item.
        seed: The choice follows from it and the number of items.
    """
    count = max(round(fraction * len(items)), 1)
    chosen = set(np.random.default_rng(seed).permutation(len(items))[:count].tolist())
    return [item for i, item in enumerate(items) if (i in chosen) == (split == "val")]


def check_held_out(fraction: float | None, seed: int) -> None:
    """Refuse a share that is not between 0 and 1, and a negative seed.

    Raises:
        ValueError: Saying what is allowed.
    """
    if fraction is not None and not 0 < fraction < 1:
        raise ValueError(f"val_fraction is {fraction}; give a share between 0 and 1")
    if seed < 0:
        raise ValueError(f"split_seed is {seed}; give a whole number from zero up")
