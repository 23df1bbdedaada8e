"""Where errors lie: by distance to the nearest boundary between two true classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

from utils.metrics.boundary_f import distance
from utils.targets import pick

EDGES = (1, 2, 4, 8, 16, 32)  # pixels


class BoundaryErrors:
    """Counts right and wrong pixels in bands around the boundaries of the truth.

    A boundary pixel is one with a pixel of another class above, below, left or right of it, where
    neither is ignored; its distance is 0. Where an image has no boundary, its pixels are in the
    last band.

    Args:
        ignore_index: Target value that is not counted.
    """

    def __init__(self, ignore_index: int):
        self.ignore_index = ignore_index
        self.pixels = np.zeros(len(EDGES) + 1, np.int64)
        self.wrong = np.zeros(len(EDGES) + 1, np.int64)

    def visit(self, sample: dict[str, Any], labels: Tensor, outputs: dict[str, Tensor]) -> None:
        """Take in one image: its sample and label map (1, H, W)."""
        self.count(labels[0].cpu().numpy(), pick(sample["target"], "semantic").numpy())

    def count(self, labels: np.ndarray, truth: np.ndarray) -> None:
        """Take in a label map and its truth, (H, W)."""
        lines = boundaries(truth, self.ignore_index)
        away = distance(lines) if lines.any() else np.full(truth.shape, np.inf)
        bands = np.searchsorted(EDGES, away, side="right")
        counted = truth != self.ignore_index
        self.pixels += np.bincount(bands[counted], minlength=len(self.pixels))
        self.wrong += np.bincount(bands[counted & (labels != truth)], minlength=len(self.wrong))

    def table(self) -> list[list]:
        """Rows: pixels from, pixels to, pixels, wrong ones, error rate, share of all errors."""
        with np.errstate(divide="ignore", invalid="ignore"):
            rates, shares = self.wrong / self.pixels, self.wrong / self.wrong.sum()
        counted = (each.tolist() for each in (self.pixels, self.wrong, rates, shares))
        rows = zip((0, *EDGES), (*EDGES, math.inf), *counted, strict=True)
        heading = ["from", "to", "pixels", "wrong", "error_rate", "share_of_errors"]
        return [heading, *map(list, rows)]


def boundaries(truth: np.ndarray, ignore_index: int) -> np.ndarray:
    """(H, W) bool: pixels that touch another class."""
    lines = np.zeros(truth.shape, bool)
    valid = truth != ignore_index
    across = (truth[:, 1:] != truth[:, :-1]) & valid[:, 1:] & valid[:, :-1]
    down = (truth[1:] != truth[:-1]) & valid[1:] & valid[:-1]
    lines[:, 1:] |= across
    lines[:, :-1] |= across
    lines[1:] |= down
    lines[:-1] |= down
    return lines
