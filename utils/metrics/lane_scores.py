"""How well lanes are found, as TuSimple's benchmark counts it."""

from __future__ import annotations

import torch
from torch import Tensor

from base.base_metric import METRICS, BaseMetric
from utils.errors import UserError
from utils.lanes import fit_lanes
from utils.metrics.counting import UNIT, check_maps, refuse_class, refuse_negative
from utils.tusimple import NAMES, score_lanes


@METRICS.register
class LaneScores(BaseMetric):
    """TuSimple's accuracy, false positives and false negatives of the lanes in object maps.

    Each object becomes a lane with an x at every height of the data set's `h_samples`, in pixels of
    the original image whatever the size of the map. A point is right if it is within
    20 / cos(angle of the true lane) pixels of the true one, or if neither lane reaches its height;
    a true lane is found if 85 % of its points are right in the best of the found lanes. Of each
    image, then in the mean over images:

        Lane_Accuracy = mean over true lanes of that share
        Lane_FP = (found lanes - found true lanes) / found lanes, Lane_FN = missed / true lanes

    With more than four true lanes the worst one is left out of the first and one miss forgiven.
    More than two lanes too many score 0, 0 and 1. As in the official script an image without a
    true lane has accuracy 0, and Lane_FP is negative where one lane answers to two true ones.

    TuSimple lane detection challenge, CVPR 2017 workshop on autonomous driving; its limit of 200 ms
    an image is not applied. Ignored pixels belong to no object. Runs on the CPU.

    Args:
        num_classes: Classes of the data set; every object is a lane.
        ignore_index: Target value that is not counted.
    Shape:
        labels (B, H, W), target (B, H, W); `meta` of each image has "lanes", lists of x with -2 for
        none, "h_samples", and "size", height and width of the original image.
    Raises:
        ValueError: If the maps differ in shape.
        UserError: If the data set gives no lanes, or from `compute`, if an id was negative.
    """

    target = "instance"
    counted = ("sums", "images", "negative")

    def __init__(self, num_classes: int, ignore_index: int):
        refuse_class(ignore_index, num_classes)
        self.ignore_index = ignore_index
        self.reset()

    def reset(self) -> None:
        self.sums = torch.zeros(len(NAMES), dtype=torch.int64)  # in 1 / UNIT
        self.images = torch.zeros((), dtype=torch.int64)
        self.negative = torch.zeros((), dtype=torch.int64)

    def update(
        self,
        labels: Tensor,
        target: Tensor,
        outputs: dict[str, Tensor] | None = None,
        meta: list[dict] | None = None,
    ) -> None:
        check_maps(labels, target)
        ignored = target == self.ignore_index
        for each in (labels, target):
            self.negative += ((each < 0) & ~ignored).sum().cpu()
        maps = labels.masked_fill(ignored, 0).cpu().numpy()
        void = ignored.flatten(1).all(1).tolist()
        for found, skip, about in zip(maps, void, meta or [{}] * len(maps), strict=True):
            if skip:
                continue
            if not {"lanes", "h_samples"} <= about.keys():
                raise UserError(
                    "LaneScores reads lanes and h_samples, which this data set does not give; use "
                    "TuSimple, or InstanceScores"
                )
            lanes = fit_lanes(found, about["h_samples"], about.get("size", found.shape))
            scores = score_lanes(lanes, about["lanes"], about["h_samples"])
            self.sums += torch.tensor([round(score * UNIT) for score in scores])
            self.images += 1

    def compute(self) -> dict[str, float]:
        refuse_negative(int(self.negative), self.ignore_index)
        means = self.sums.double() / self.images / UNIT
        return dict(zip(NAMES, means.tolist(), strict=True))
