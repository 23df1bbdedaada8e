"""Two evaluations side by side: is a difference larger than the choice of images explains?"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from utils.errors import UserError

SHARE = 95  # percent of the resamples that an interval holds


class Evaluation(Protocol):
    """Scores of a split that can be computed anew on any choice of its images.

    Attributes:
        of: What the rows are, "class" or "score".
        columns: Titles of the two scores of a row.
        main: The score of metrics.csv that its curve is drawn of.
        images: Names, in order.
        rows: Likewise.
    """

    of: ClassVar[str]
    columns: ClassVar[tuple[str, str]]
    main: str
    images: list[str]
    rows: list[str]

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """(R, rows) for R choices of images, each weighed by (R, N)."""


@dataclass(frozen=True)
class Counts:
    """What an evaluation of classes counted.

    Attributes:
        images: Names, in order.
        classes: Likewise.
        values: (images, classes, 3) pixels: hits, truth, found.
    """

    of: ClassVar[str] = "class"
    columns: ClassVar[tuple[str, str]] = ("IoU_A", "IoU_B")
    main: ClassVar[str] = "Mean_IoU"

    images: list[str]
    classes: list[str]
    values: np.ndarray

    @property
    def rows(self) -> list[str]:
        return [*self.classes, "mean"]

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """IoU of each class over the chosen images, and their mean."""
        hits, truth, found = np.moveaxis(np.tensordot(weights, self.values, axes=1), -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            classes = hits / (truth + found - hits)
        return np.column_stack([classes, nanmean(classes)])


@dataclass(frozen=True)
class ImageScores:
    """Scores of an evaluation of objects that are means over images.

    Attributes:
        images: Names, in order.
        rows: Names of the scores.
        values: (images, scores); NaN where an image has none.
    """

    of: ClassVar[str] = "score"
    columns: ClassVar[tuple[str, str]] = ("A", "B")

    images: list[str]
    rows: list[str]
    values: np.ndarray

    @property
    def main(self) -> str:
        return self.rows[0]

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """Each score's mean over the chosen images that have it."""
        defined = ~np.isnan(self.values)
        with np.errstate(invalid="ignore"):
            return weights @ np.where(defined, self.values, 0) / (weights @ defined)


def nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(-1) / defined.sum(-1)


def read_evaluation(folder: Path) -> Evaluation:
    """What evaluate.py wrote into a folder.

    Raises:
        UserError: If a file is damaged.
    """
    classes = (folder / "class_counts.csv").is_file()
    return read_counts(folder) if classes else read_image_scores(folder)


def read_counts(folder: Path) -> Counts:
    """The counts of each image of a model of classes.

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


def read_image_scores(folder: Path) -> ImageScores:
    """The scores of each image of a model of objects, those whose mean is the split's score.

    Others, such as a precision over all objects of the split, do not follow from those of images.

    Raises:
        UserError: If there are none.
    """
    try:
        with open(folder / "images.csv", newline="") as file:
            names, *rows = csv.reader(file)
        values = np.array([row[1:] for row in rows], np.float64)
        total = {**json.loads((folder / "scores.json").read_text())}
        mean = nanmean(values.T)
        kept = [
            index
            for index, name in enumerate(names[1:])
            if total.get(name) is not None and np.isclose(mean[index], total[name], atol=1e-6)
        ]
        if not kept:
            raise ValueError("no mean over images")
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"images.csv and scores.json of {folder} cannot be read; score the model again with "
            "evaluate.py --overwrite"
        ) from error
    images = [row[0] for row in rows]
    return ImageScores(images, [names[1 + index] for index in kept], values[:, kept])


def differences(a: Evaluation, b: Evaluation, resamples: int = 2000, seed: int = 0) -> list[list]:
    """A table: of each class, or score, that of both, the difference and its interval.

    The interval is a paired bootstrap over images: both evaluations are scored on the same images,
    drawn with replacement, again and again.

    Args:
        a, b: Evaluations of the same images, with the same rows.
        resamples: How often images are drawn.
        seed: The draws follow from it.

    Raises:
        UserError: If images or rows differ.
    """
    if a.of != b.of:
        raise UserError("one model gives classes and the other objects; they have no common score")
    several = {"class": "classes", "score": "scores"}[a.of]
    for what, ours, theirs in (("images", a.images, b.images), (several, a.rows, b.rows)):
        if ours != theirs:
            raise UserError(
                f"the evaluations are of different {what} ({len(ours)} and {len(theirs)}); "
                "score both models on the same split with evaluate.py"
            )
    count = len(a.images)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    once = np.ones((1, count))
    before, after = a.scores(once)[0], b.scores(once)[0]
    change = b.scores(draws) - a.scores(draws)
    tail = (100 - SHARE) / 2
    low, high = nanpercentiles(change, (tail, 100 - tail))
    rows = zip(a.rows, before, after, after - before, low, high, strict=True)
    heading = [a.of, *a.columns, "difference", "low", "high"]
    return [heading, *([name, *map(float, values)] for name, *values in rows)]


def nanpercentiles(values: np.ndarray, shares: tuple[float, float]) -> np.ndarray:
    """Percentiles of each column of what is defined; NaN where nothing is, (2, C)."""
    columns = [column[~np.isnan(column)] for column in values.T]
    empty = np.full(2, np.nan)
    return np.array([np.percentile(c, shares) if len(c) else empty for c in columns]).T
