"""Two evaluations side by side: is a difference larger than the choice of images explains?"""

from __future__ import annotations

import csv
import itertools
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
        columns: Titles of the two values of a row.
        known: What is known of each image.
        unlike: What is wrong where two evaluations have other rows.
        main: The column of metrics.csv to draw.
        images: Names, in order.
        rows: Names, in order.
    """

    of: ClassVar[str]
    columns: ClassVar[tuple[str, str]]
    known: ClassVar[str]
    unlike: ClassVar[str]
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
    known: ClassVar[str] = "counts of classes in each image"
    unlike: ClassVar[str] = "classes"
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
    """What each image of an evaluation scores by itself, where no counts of classes are known.

    Attributes:
        images: Names, in order.
        rows: Names of the scores.
        values: (images, scores); NaN where an image has none.
    """

    of: ClassVar[str] = "score"
    columns: ClassVar[tuple[str, str]] = ("mean_A", "mean_B")
    known: ClassVar[str] = "scores of each image"
    unlike: ClassVar[str] = "scores: the first metric of their configs is not the same"

    images: list[str]
    rows: list[str]
    values: np.ndarray

    @property
    def main(self) -> str:
        return self.rows[0]

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """Each score's mean over the chosen images that have it; NaN where none has."""
        defined = ~np.isnan(self.values)
        with np.errstate(invalid="ignore"):
            return weights @ np.where(defined, self.values, 0) / (weights @ defined)


def nanmean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(defined, values, 0).sum(-1) / defined.sum(-1)


def read_evaluation(folder: Path) -> Evaluation:
    """What evaluate.py wrote into a folder: counts of classes, or scores of each image.

    Raises:
        UserError: If a file is damaged.
    """
    name, read = "class_counts.csv", counts_of
    if not (folder / name).is_file():
        name, read = "images.csv", image_scores_of
    try:
        with open(folder / name, newline="") as file:
            heading, *rows = csv.reader(file)
        if not rows or any(len(row) != len(heading) for row in rows):
            raise ValueError("no table")
        return read(heading, rows)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(
            f"{folder / name} cannot be read; score the model again with evaluate.py --overwrite"
        ) from error


def counts_of(heading: list[str], rows: list[list[str]]) -> Counts:
    """Of the table class_counts.csv."""
    image, name, *keys = (
        heading.index(key) for key in ("image", "class", "hits", "truth", "found")
    )
    images = list(dict.fromkeys(row[image] for row in rows))
    classes = list(dict.fromkeys(row[name] for row in rows))
    values = [[int(row[key]) for key in keys] for row in rows]
    table = np.array(values, np.float64).reshape(len(images), len(classes), 3)
    return Counts(images, classes, table)


def image_scores_of(heading: list[str], rows: list[list[str]]) -> ImageScores:
    """Of the table images.csv, in which a cell is empty where a score is not defined."""
    values = [[float(cell) if cell else np.nan for cell in row[1:]] for row in rows]
    if len(heading) < 2:
        raise ValueError("no scores")
    return ImageScores([row[0] for row in rows], heading[1:], np.array(values))


def differences(a: Evaluation, b: Evaluation, resamples: int = 2000, seed: int = 0) -> list[list]:
    """A table: of each class, or score, that of both, the difference and its interval.

    The interval is a paired bootstrap over images: both evaluations are scored on the same images,
    drawn with replacement, again and again. Draws in which a class or score is defined nowhere do
    not count. One image gives no interval.

    Args:
        a, b: Evaluations of the same images, with the same rows.
        resamples: How often images are drawn.
        seed: The draws follow from it.

    Raises:
        UserError: If images or rows differ.
    """
    if a.of != b.of:
        raise UserError(
            f"the first evaluation holds {a.known}, the other {b.known}; models with the same "
            "metric can be compared"
        )
    for what, ours, theirs in (("images", a.images, b.images), (a.unlike, a.rows, b.rows)):
        if ours != theirs:
            pairs = itertools.zip_longest(ours, theirs, fillvalue="none")
            first = next(f"{one}, {other}" for one, other in pairs if one != other)
            raise UserError(
                f"the evaluations are of different {what} ({len(ours)} and {len(theirs)}, the "
                f"first that differ: {first}); score both models on the same split, by the same "
                "metric, with evaluate.py"
            )
    count = len(a.images)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    once = np.ones((1, count))
    before, after = a.scores(once)[0], b.scores(once)[0]
    change = b.scores(draws) - a.scores(draws)
    if count == 1:
        change = np.full_like(change, np.nan)
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
