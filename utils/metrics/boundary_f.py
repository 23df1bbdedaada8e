"""How well the contours of the classes are drawn."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from torch import Tensor

from base.base_metric import METRICS, BaseMetric
from utils.metrics.counting import UNIT, check_maps, is_outside, refuse_class, refuse_outside
from utils.metrics.iou import mean


@METRICS.register
class BoundaryF(BaseMetric):
    """F-score of the boundary of each class, and its mean over classes.

    With reach the tolerance in pixels, for each image and class

        P = found boundary pixels within reach of a true one / found boundary pixels
        R = true boundary pixels within reach of a found one / true boundary pixels
        F = 2 P R / (P + R)

    averaged over the images where the class has a boundary in the target or in the labels, as both
    papers do, rather than from summed counts; F is 0 where only one of them has one. A class
    without any boundary is left out of the mean over classes. A boundary pixel is a pixel of the
    class with one of another class above, below, left or right of it; the image's border is none,
    as in DAVIS, whose contour lies half a pixel further out. Ignored pixels and the four pixels
    around each are on no boundary: where a void strip is drawn along every contour, as in VOC,
    little is left. Runs on the CPU.

    Csurka et al., What is a good evaluation measure for semantic segmentation?, BMVC 2013;
    Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation,
    CVPR 2016 (neither on arXiv).

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that is not counted.
        tolerance: Reach in pixels if 1 or more; below 1 the share of the image's diagonal, rounded
            up to whole pixels (0.0075 in the first paper, 0.008 in DAVIS).
        class_names: Names for the per-class scores; numbers without them.
        unscored: Classes that stay out of the mean, even where they are found.
    Shape:
        labels (B, H, W), target (B, H, W).
    Raises:
        ValueError: If tolerance is negative or the maps differ in shape.
        UserError: From `compute`, if a label or a target was none of the classes.
    """

    counted = ("sums", "images", "outside")

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        tolerance: float = 0.0075,
        class_names: list[str] | None = None,
        unscored: tuple[int, ...] = (),
    ):
        if tolerance < 0:
            raise ValueError(f"tolerance is {tolerance}; it must not be negative")
        refuse_class(ignore_index, num_classes)
        self.num_classes, self.ignore_index, self.tolerance = num_classes, ignore_index, tolerance
        self.class_names = class_names or [str(i) for i in range(num_classes)]
        self.scored = [label for label in range(num_classes) if label not in unscored]
        self.reset()

    def reset(self) -> None:
        self.sums = torch.zeros(self.num_classes, dtype=torch.int64)
        self.images = torch.zeros(self.num_classes, dtype=torch.int64)
        self.outside = torch.zeros((), dtype=torch.int64)

    def update(
        self,
        labels: Tensor,
        target: Tensor,
        outputs: dict[str, Tensor] | None = None,
        meta: list[dict] | None = None,
    ) -> None:
        check_maps(labels, target)
        labels, target = labels.cpu(), target.cpu()
        stray = is_outside(labels, self.num_classes) | is_outside(target, self.num_classes)
        self.outside += (stray & (target != self.ignore_index)).sum()
        for found, truth in zip(labels.numpy(), target.numpy(), strict=True):
            self._count(found, truth)

    def _count(self, found: np.ndarray, truth: np.ndarray) -> None:
        reach = self.tolerance
        if reach < 1:
            reach = math.ceil(reach * math.hypot(*truth.shape))
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        void = cv2.dilate((truth == self.ignore_index).astype(np.uint8), cross)
        found, truth = (np.where(void, -1, boundary(each)) for each in (found, truth))
        for label in np.union1d(found, truth):
            if 0 <= label < self.num_classes:
                self.sums[label] += round(f_score(found == label, truth == label, reach) * UNIT)
                self.images[label] += 1

    def compute(self) -> dict[str, float]:
        refuse_outside(int(self.outside), self.num_classes, self.ignore_index)
        values = (self.sums.double() / self.images / UNIT).numpy()
        scores = {"Mean_BoundaryF": mean(values[self.scored])}
        for name, value in zip(self.class_names, values, strict=True):
            scores[f"BoundaryF/{name}"] = float(value)
        return scores


def boundary(labels: np.ndarray) -> np.ndarray:
    """Labels of the pixels that touch another label, -1 elsewhere; (H, W)."""
    touches = np.zeros(labels.shape, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    touches[:, 1:] |= across
    touches[:, :-1] |= across
    touches[1:] |= down
    touches[:-1] |= down
    return np.where(touches, labels, -1)


def f_score(found: np.ndarray, truth: np.ndarray, reach: float) -> float:
    """F-score of two boundaries, (H, W) bool, at least one of which is not empty."""
    if not (found.any() and truth.any()):
        return 0.0
    left, top, width, height = cv2.boundingRect((found | truth).astype(np.uint8))
    box = slice(top, top + height), slice(left, left + width)
    found, truth = found[box], truth[box]
    precision = np.mean(distance(truth)[found] <= reach)
    recall = np.mean(distance(found)[truth] <= reach)
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def distance(mask: np.ndarray) -> np.ndarray:
    """Euclidean distance of each pixel from the nearest one of the mask, in pixels."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
