"""KITTI's road scores."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from base.base_metric import METRICS, BaseMetric
from utils.errors import UserError
from utils.losses.binary import as_two_channels
from utils.metrics.counting import check_maps, count_cells, is_outside, refuse_class, refuse_outside

LEVELS = 256
NAMES = ("MaxF", "AP", "PRE", "REC", "FPR", "FNR", "MaxF_Threshold")


@METRICS.register
class KittiRoad(BaseMetric):
    """Road scores of KITTI's development kit, over thresholds on the probability of the road.

    At each threshold t = 0, 1/255, ..., 1 a pixel is road if p >= t. From the counts over all
    images, with T true and F false, P found and N not:

        PRE = TP / (TP + FP)    REC = TP / (TP + FN)    FPR = FP / (FP + TN)    FNR = 1 - REC
        F = 2 PRE REC / (PRE + REC)
        AP = mean over r = 0, 0.1, ..., 1 of the highest PRE where REC >= r

    MaxF is the highest F; PRE, REC, FPR and FNR are those at its threshold, MaxF_Threshold. All
    are undefined (NaN) where the target holds no road. Counts are two int64 histograms on the
    device. The pixels are those of the image: the official ranking counts them in the bird's-eye
    view, so its numbers are others. The kit reads p from 8-bit images; here it is the model's own,
    the softmax of its channels, or the sigmoid of one. A loss that trains a sigmoid a channel, as
    BCE and BCEDice do, trains that p on one channel alone: give it `one_channel`.

    Fritsch et al., A New Performance Measure and Evaluation Benchmark for Road Detection
    Algorithms, ITSC 2013 (not on arXiv).

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that is not counted.
        positive: Id of the road; every other class is not road.
        output: Name of the model's output to read, one channel a class or one for class 1.
    Shape:
        target (B, H, W), outputs[output] (B, C, H, W), meta[b]["valid"], where there is one, the
        evaluated area as (H, W) bool: KITTI's masks are red there.
    Raises:
        ValueError: If positive is no class, or sizes differ.
        UserError: If the output is missing or has other channels; from `compute`, if a target was
            none of the classes.
    """

    counted = ("counts",)

    def __init__(self, num_classes: int, ignore_index: int, positive: int = 1, output: str = "out"):
        if not 0 <= positive < num_classes:
            raise ValueError(f"positive is {positive}; the classes are 0 to {num_classes - 1}")
        refuse_class(ignore_index, num_classes)
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.positive, self.output = positive, output
        self.reset()

    def reset(self) -> None:
        # not road by probability, road by probability, ignored, no class
        self.counts = torch.zeros(2 * LEVELS + 2, dtype=torch.int64)

    def update(
        self,
        labels: Tensor,
        target: Tensor,
        outputs: dict[str, Tensor] | None = None,
        meta: list[dict] | None = None,
    ) -> None:
        check_maps(labels, target)
        probability = self._probability(outputs or {}, target)
        thresholds = torch.arange(LEVELS, device=target.device) / (LEVELS - 1)
        cells = torch.bucketize(probability, thresholds, right=True).sub_(1)
        cells += LEVELS * (target == self.positive)
        cells.masked_fill_(is_outside(target, self.num_classes), 2 * LEVELS + 1)
        cells.masked_fill_(self._ignored(target, meta), 2 * LEVELS)
        counts = count_cells(cells, 2 * LEVELS + 2)
        self.counts = self.counts.to(counts.device, non_blocking=True) + counts

    def check_outputs(self, channels: dict[str, int]) -> None:
        if self.output not in channels:
            names = ", ".join(map(repr, channels)) or "none"
            raise UserError(
                f"KittiRoad reads the output {self.output!r}; the model's outputs are {names}: set "
                'the metric\'s "output" to one that a loss trains'
            )
        allowed = (2, 1) if self.num_classes == 2 else (self.num_classes,)
        if channels[self.output] not in allowed:
            raise UserError(
                f"KittiRoad reads {' or '.join(map(str, allowed))} channels, one a class; the "
                f'output {self.output!r} has {channels[self.output]}: set the metric\'s "output" '
                "to one of class scores"
            )

    def _probability(self, outputs: dict[str, Tensor], target: Tensor) -> Tensor:
        """Of the road, (B, H, W) float32."""
        self.check_outputs({name: output.shape[1] for name, output in outputs.items()})
        scores = outputs[self.output].float()
        if scores.shape[:1] + scores.shape[2:] != target.shape:
            raise ValueError(
                f"the output {self.output!r} is {tuple(scores.shape)}, the target "
                f"{tuple(target.shape)}; expected (B, C, H, W) and (B, H, W)"
            )
        return as_two_channels(scores).softmax(dim=1)[:, self.positive].contiguous()

    def _ignored(self, target: Tensor, meta: list[dict] | None) -> Tensor:
        ignored = target == self.ignore_index
        for image, about in zip(ignored, meta or [{}] * len(target), strict=True):
            if "valid" not in about:
                continue
            valid = torch.as_tensor(about["valid"], dtype=torch.bool, device=target.device)
            if valid.shape != image.shape:
                raise ValueError(
                    f"meta's valid area is {tuple(valid.shape)}; expected (H, W) = "
                    f"{tuple(image.shape)}"
                )
            image |= ~valid
        return ignored

    def compute(self) -> dict[str, float]:
        *counts, _, outside = self.counts.tolist()
        refuse_outside(outside, self.num_classes, self.ignore_index)
        # at or above each threshold: false and true positives
        fp, tp = np.array(counts).reshape(2, LEVELS)[:, ::-1].cumsum(1)[:, ::-1]
        road, other = tp[0], fp[0]
        if not road:
            return dict.fromkeys(NAMES, float("nan"))
        precision, recall = tp / np.maximum(tp + fp, 1), tp / road
        f = 2 * tp / (tp + fp + road)
        best = int(f.argmax())
        values = (
            f[best],
            np.mean([precision[recall >= r].max() for r in np.arange(0, 1.1, 0.1)]),
            precision[best],
            recall[best],
            fp[best] / other if other else float("nan"),
            1 - recall[best],
            best / (LEVELS - 1),
        )
        return {name: float(value) for name, value in zip(NAMES, values, strict=True)}
