"""Scores that follow from the confusion matrix."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from base.base_metric import METRICS, BaseMetric
from utils.visualize import draw_confusion


@METRICS.register
class IoU(BaseMetric):
    """Pixel accuracy, and per class and in the mean: IoU, Dice, accuracy.

    Counts go into one int64 confusion matrix on the device. A class that is neither in the truth
    nor in the prediction has no score (NaN) and is left out of the means.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that is not counted.
        class_names: Names for the per-class scores; numbers without them.
    """

    def __init__(self, num_classes: int, ignore_index: int, class_names: list[str] | None = None):
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.class_names = class_names or [str(i) for i in range(num_classes)]
        self.reset()

    def reset(self) -> None:
        self.confusion = torch.zeros(self.num_classes, self.num_classes, dtype=torch.int64)

    def update(
        self,
        labels: Tensor,
        target: Tensor,
        outputs: dict[str, Tensor] | None = None,
        meta: list[dict] | None = None,
    ) -> None:
        valid = target != self.ignore_index
        cells = target[valid] * self.num_classes + labels[valid]
        counts = torch.bincount(cells, minlength=self.num_classes**2)
        self.confusion = self.confusion.to(counts.device) + counts.view_as(self.confusion)

    def compute(self) -> dict[str, float]:
        counts = self.confusion.cpu().numpy()  # rows: truth, columns: prediction
        hit, truth, found = np.diagonal(counts), counts.sum(1), counts.sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            iou = hit / (truth + found - hit)
            dice = 2 * hit / (truth + found)
            accuracy = hit / truth
            pixel_accuracy = hit.sum() / counts.sum()
            weighted = np.nansum(iou * truth) / counts.sum()
        scores = {
            "Mean_IoU": mean(iou),
            "Pixel_Accuracy": pixel_accuracy,
            "Mean_Accuracy": mean(accuracy),
            "Mean_Dice": mean(dice),
            "Frequency_Weighted_IoU": weighted,
        }
        for key, values in {"IoU": iou, "Dice": dice, "Accuracy": accuracy}.items():
            scores |= {f"{key}/{name}": v for name, v in zip(self.class_names, values, strict=True)}
        return {key: float(value) for key, value in scores.items()}

    def pictures(self) -> dict[str, np.ndarray]:
        return {"confusion_matrix": draw_confusion(self.confusion.cpu().numpy(), self.class_names)}


def mean(values: np.ndarray) -> float:
    """Mean of what is defined; NaN where nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
