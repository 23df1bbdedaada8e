"""Soft Jaccard, the IoU itself."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.losses.binary import as_two_channels, channels_for
from utils.losses.overlap import mean_over_classes, soft_overlaps


@LOSSES.register
class Jaccard(BaseLoss):
    """One minus the soft IoU of each class, 1 - (hit + s) / (found + truth - hit + s), in the mean.

    hit, found and truth as in Dice. Rahman and Wang, Optimizing Intersection-Over-Union in Deep
    Neural Networks for Image Segmentation, 2016.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss.
        smooth: s, in pixels.
        classes: Mean over the classes "present" in the truth, or over "all".
        per_image: One IoU an image, then the mean; else one for the batch.
        one_channel: One score for two classes, the second one's.
        aux_weight: Factor on the auxiliary head's term.
    Shape:
        prediction (B, C, H, W), target (B, H, W) -> {"jaccard": scalar}.
    Raises:
        ValueError: If smooth is negative, or one_channel is asked for and classes are not two.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        smooth: float = 1.0,
        classes: Literal["present", "all"] = "present",
        per_image: bool = False,
        one_channel: bool = False,
        aux_weight: float = 0.4,
    ):
        super().__init__(num_classes, ignore_index, aux_weight)
        if smooth < 0:
            raise ValueError(f"smooth is {smooth}; it must not be negative")
        self.out_channels = channels_for(num_classes, one_channel)
        self.smooth, self.per_image = smooth, per_image
        self.present_only = classes == "present"

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        overlaps = soft_overlaps(as_two_channels(prediction), target, self.ignore_index)
        if not self.per_image:
            overlaps = [value.sum(0, keepdim=True) for value in overlaps]
        hit, found, truth = overlaps
        union = found + truth - hit + self.smooth
        iou = (hit + self.smooth) / union.clamp(min=1e-12)
        return {"jaccard": mean_over_classes(1 - iou, truth, self.present_only)}
