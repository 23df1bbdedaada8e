"""Scores that follow from the confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from base.base_metric import METRICS, BaseMetric
from utils.metrics.counting import check_maps, count_cells, refuse_class, refuse_outside
from utils.visualize import draw_confusion


@METRICS.register
class IoU(BaseMetric):
    """Pixel accuracy, and per class and in the mean: IoU, Dice, accuracy, precision.

    With the hits, truth and found of a class the pixels that are its own in both maps, in the
    target and in the labels:

        IoU = hits / (truth + found - hits)    Accuracy = hits / truth, its recall
        Dice = 2 hits / (truth + found), its F1    Precision = hits / found

    Frequency_Weighted_IoU is the mean of the IoUs, each weighed by its truth. Counts go into one
    int64 confusion matrix on the device, which `update` never waits for. A score of 0 / 0 is
    undefined (NaN) and left out of the means: all scores of a class that is neither in the target
    nor in the labels, the accuracy of one that is not in the target, the precision of one that was
    never found.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that is not counted.
        class_names: Names for the per-class scores; numbers without them.
        unscored: Classes that stay out of the means, even where they are found.
    Shape:
        labels (B, H, W), target (B, H, W).
    Raises:
        ValueError: If the maps differ in shape.
        UserError: From `compute`, if a label or a target was none of the classes.
    """

    counted = ("counts",)

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        class_names: list[str] | None = None,
        unscored: tuple[int, ...] = (),
    ):
        refuse_class(ignore_index, num_classes)
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.class_names = class_names or [str(i) for i in range(num_classes)]
        self.scored = [label for label in range(num_classes) if label not in unscored]
        self.side = num_classes + 2  # a row and a column on either side for what is no class
        self.reset()

    def reset(self) -> None:
        self.counts = torch.zeros(self.side**2 + 1, dtype=torch.int64)  # the last one: ignored

    def update(
        self,
        labels: Tensor,
        target: Tensor,
        outputs: dict[str, Tensor] | None = None,
        meta: list[dict] | None = None,
    ) -> None:
        check_maps(labels, target)
        found, truth = (each.clamp(-1, self.num_classes) for each in (labels, target))
        cells = found.add_(truth, alpha=self.side).add_(self.side + 1)
        cells.masked_fill_(target == self.ignore_index, self.side**2)
        counts = count_cells(cells, self.side**2 + 1)
        self.counts = self.counts.to(counts.device, non_blocking=True) + counts

    @property
    def confusion(self) -> np.ndarray:
        """(C, C) pixels, rows truth, columns found."""
        return self._table()[1:-1, 1:-1]

    def _table(self) -> np.ndarray:
        return self.counts[:-1].view(self.side, self.side).cpu().numpy()

    def compute(self) -> dict[str, float]:
        counts = self.confusion
        outside = int(self._table().sum() - counts.sum())
        refuse_outside(outside, self.num_classes, self.ignore_index)
        hits, truth, found = np.diagonal(counts), counts.sum(1), counts.sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            classes = {
                "IoU": hits / (truth + found - hits),
                "Dice": 2 * hits / (truth + found),
                "Accuracy": hits / truth,
                "Precision": hits / found,
            }
            scores = {
                "Mean_IoU": mean(classes["IoU"][self.scored]),
                "Pixel_Accuracy": hits.sum() / counts.sum(),
                "Mean_Accuracy": mean(classes["Accuracy"][self.scored]),
                "Mean_Precision": mean(classes["Precision"][self.scored]),
                "Mean_Dice": mean(classes["Dice"][self.scored]),
                "Frequency_Weighted_IoU": np.nansum(classes["IoU"] * truth) / counts.sum(),
            }
        for key, values in classes.items():
            scores |= {f"{key}/{name}": v for name, v in zip(self.class_names, values, strict=True)}
        return {key: float(value) for key, value in scores.items()}

    def pictures(self) -> dict[str, np.ndarray]:
        counts, names = self.confusion, self.class_names
        return {
            "confusion_matrix": draw_confusion(counts, names),
            "confusion_matrix_counts": draw_confusion(counts, names, write_counts=True),
        }

    def tables(self) -> dict[str, list[list]]:
        """The confusion matrix in pixels and in shares of each true class, and its margins."""
        counts, names = self.confusion, self.class_names
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        heading = ["truth \\ prediction", *names]
        margins = zip(np.diagonal(counts), counts.sum(1), counts.sum(0), strict=True)
        return {
            "confusion_matrix_counts": with_heading(heading, names, counts),
            "confusion_matrix": with_heading(heading, names, shares.round(6)),
            "class_counts": with_heading(["class", "hits", "truth", "found"], names, list(margins)),
        }


def with_heading(heading: list[str], names: list[str], rows: Iterable) -> list[list]:
    """A table with the names in its first column."""
    return [
        heading,
        *([name, *np.asarray(row).tolist()] for name, row in zip(names, rows, strict=True)),
    ]


def mean(values: np.ndarray) -> float:
    """Mean of what is defined; NaN where nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
