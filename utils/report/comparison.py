"""Two evaluations side by side: is a difference larger than the choice of images explains?"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.errors import UserError

SHARE = 95  # percent of the resamples that an interval holds


@dataclass(frozen=True)
class Counts:
    """What an evaluation counted.

    Attributes:
        images: Names, in order.
        classes: Likewise.
        values: (images, classes, 3) pixels: hits, truth, found.
    """

    images: list[str]
    classes: list[str]
    values: np.ndarray

    def iou(self, weights: np.ndarray) -> np.ndarray:
        """IoU of each class and their mean, (R, C + 1), with images weighed by (R, N)."""
        hits, truth, found = np.moveaxis(np.tensordot(weights, self.values, axes=1), -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            classes = hits / (truth + found - hits)
        return np.column_stack([classes, nanmean(classes)])


def nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(-1) / defined.sum(-1)


def read_counts(folder: Path) -> Counts:
    """The counts that evaluate.py wrote into a folder.

    Raises:
        UserError: If there are none.
    """
    path = folder / "class_counts.csv"
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        images = list(dict.fromkeys(row["image"] for row in rows))
        classes = list(dict.fromkeys(row["class"] for row in rows))
        values = [[int(row[key]) for key in ("hits", "truth", "found")] for row in rows]
        table = np.array(values, np.float64).reshape(len(images), len(classes), 3)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read; evaluate.py writes it for a model of classes"
        ) from error
    return Counts(images, classes, table)


def differences(a: Counts, b: Counts, resamples: int = 2000, seed: int = 0) -> list[list]:
    """A table: of each class and their mean the IoU of both, the difference and its interval.

    The interval is a paired bootstrap over images: both evaluations are scored on the same images,
    drawn with replacement, again and again.

    Args:
        a, b: Evaluations of the same images and classes.
        resamples: How often images are drawn.
        seed: The draws follow from it.

    Raises:
        UserError: If images or classes differ.
    """
    for what, ours, theirs in (("images", a.images, b.images), ("classes", a.classes, b.classes)):
        if ours != theirs:
            raise UserError(
                f"the evaluations are of different {what} ({len(ours)} and {len(theirs)}); "
                "score both models on the same split with evaluate.py"
            )
    count = len(a.images)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    once = np.ones((1, count))
    before, after = a.iou(once)[0], b.iou(once)[0]
    change = b.iou(draws) - a.iou(draws)
    tail = (100 - SHARE) / 2
    low, high = nanpercentiles(change, (tail, 100 - tail))
    names = [*a.classes, "mean"]
    rows = zip(names, before, after, after - before, low, high, strict=True)
    heading = ["class", "IoU_A", "IoU_B", "difference", "low", "high"]
    return [heading, *([name, *map(float, values)] for name, *values in rows)]


def nanpercentiles(values: np.ndarray, shares: tuple[float, float]) -> np.ndarray:
    """Percentiles of each column of what is defined; NaN where nothing is, (2, C)."""
    columns = [column[~np.isnan(column)] for column in values.T]
    empty = np.full(2, np.nan)
    return np.array([np.percentile(c, shares) if len(c) else empty for c in columns]).T
