"""What the tests of inference.py share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import inference
from utils.command import run


def photo(size: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)


def infer(model: Path, *words: str | Path) -> int:
    """The exit code."""
    argv = [str(word) for word in ("-d", "cpu", "-m", model, *words)]
    return run(lambda: inference.main(inference.parse(argv)))


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
