"""What each image scores by itself, and pictures of the worst, the best and a few between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from base.base_dataloader import to_device
from base.base_dataset import BaseDataset
from utils.metrics import MetricGroup
from utils.targets import ignored_label, pick
from utils.visualize import contact_sheet, draw_errors, draw_labels

TITLES = ("image", "truth", "prediction", "errors")
WIDTH = 480
LEGENDS = {  # what the colours of `draw_errors` mean
    "semantic": "Errors: wrong pixels are red, ignored ones white.",
    "instance": "Errors: objects that match are green, missed ones red, false ones blue, those "
    "split or merged violet; ignored pixels are white.",
}


@dataclass
class Exhibit:
    """One image of a sheet.

    Attributes:
        score: Its own.
        name: Its name.
        pictures: One for each of TITLES, (H, W, 3) uint8, at most WIDTH wide.
    """

    score: float
    name: str
    pictures: list[np.ndarray]


class Gallery:
    """Scores each image by itself; keeps the worst and best ones and evenly spaced ones.

    Args:
        metric: Scores one image at a time; its first score ranks.
        dataset: Gives colours, ignored label and the way back from normalised pixels.
        count: Images on a sheet.

    Attributes:
        scores: Of each image, by its name, in the order of the data set.
        legend: What the colours of the errors mean.
        counts: Rows (image, class, ...) of the metric's "class_counts", where it has such a table.
    """

    def __init__(self, metric: MetricGroup, dataset: BaseDataset, count: int = 8):
        self.metric, self.dataset, self.count = metric, dataset, count
        self.key = next(iter(metric.compute()))
        self.legend = LEGENDS[metric.targets[0]]
        self.spaced = set(np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist())
        self.scores: dict[str, dict[str, float]] = {}
        self.counts: list[list] = []
        self.worst: list[Exhibit] = []
        self.best: list[Exhibit] = []
        self.examples: list[Exhibit] = []

    def visit(self, sample: dict[str, Any], labels: Tensor, outputs: dict[str, Tensor]) -> None:
        """Take in one image: its sample, label map (1, H, W) and outputs (1, C, H, W)."""
        name, score = sample["name"], self._score(sample, labels, outputs)
        defined, full = score == score, len(self.worst) == self.count
        bad = defined and not (full and score >= self.worst[-1].score)
        good = defined and not (full and score <= self.best[-1].score)
        spaced = len(self.scores) - 1 in self.spaced
        if not (bad or good or spaced):
            return
        exhibit = Exhibit(score, name, self._row(sample, labels[0].cpu().numpy()))
        if bad:
            self.worst = sorted([*self.worst, exhibit], key=lambda e: e.score)[: self.count]
        if good:
            self.best = sorted([*self.best, exhibit], key=lambda e: -e.score)[: self.count]
        if spaced:
            self.examples.append(exhibit)

    def exhibits(self) -> dict[str, list[Exhibit]]:
        """The kept images by the name of their sheet; sheets without any are left out."""
        sheets = {"worst": self.worst, "best": self.best, "examples": self.examples}
        return {name: kept for name, kept in sheets.items() if kept}

    def sheets(self) -> dict[str, np.ndarray]:
        """The sheets as pictures (H, W, 3) uint8."""
        return {
            name: contact_sheet(
                [exhibit.pictures for exhibit in kept],
                TITLES,
                [f"{exhibit.name}: {self.key} {exhibit.score:.4f}" for exhibit in kept],
            )
            for name, kept in self.exhibits().items()
        }

    def tables(self) -> dict[str, list[list]]:
        """`images`, the scores of each, and `class_counts`, from which they follow."""
        columns = list(dict.fromkeys(key for scores in self.scores.values() for key in scores))
        rows = [[n, *(scores[c] for c in columns)] for n, scores in self.scores.items()]
        tables = {"images": [["image", *columns], *rows]}
        return tables | ({"class_counts": self.counts} if self.counts else {})

    def _score(self, sample: dict[str, Any], labels: Tensor, outputs: dict[str, Tensor]) -> float:
        target = sample["target"]
        batch = (
            {k: v[None] for k, v in target.items()} if isinstance(target, dict) else target[None]
        )
        self.metric.reset()
        self.metric.update(labels, to_device(batch, labels.device), outputs, [sample["meta"]])
        scores = self.metric.compute()
        self.scores[sample["name"]] = scores
        heading, *rows = self.metric.tables().get("class_counts", [[]])
        if rows and not self.counts:
            self.counts.append(["image", *heading])
        self.counts += [[sample["name"], *row] for row in rows]
        return scores[self.key]

    def _row(self, sample: dict[str, Any], labels: np.ndarray) -> list[np.ndarray]:
        target, palette = self.metric.targets[0], self.dataset.palette
        truth = pick(sample["target"], target).numpy()
        ignore = ignored_label(target, self.dataset.ignore_index)
        pictures = [
            self.dataset.normalization.undo(sample["image"]),
            draw_labels(truth, target, palette),
            draw_labels(labels, target, palette, truth),
            draw_errors(labels, truth, target, ignore),
        ]
        return [shrunk(picture) for picture in pictures]


def shrunk(picture: np.ndarray) -> np.ndarray:
    """The picture, at most WIDTH wide."""
    height, width = picture.shape[:2]
    if width <= WIDTH:
        return picture
    size = (WIDTH, max(1, round(height * WIDTH / width)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
