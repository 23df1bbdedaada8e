"""Soft Dice."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.losses.binary import as_two_channels, channels_for
from utils.losses.overlap import mean_over_classes, soft_overlaps


@LOSSES.register
class Dice(BaseLoss):
    """One minus the soft Dice of each class, 1 - (2 hit + s) / (found + truth + s), in the mean.

    hit is the sum of the class's softmax where it is the truth, found its sum over all pixels,
    truth the number of its pixels; ignored pixels are in none. Milletari et al., V-Net, 2016
    (arXiv:1606.04797), without squares.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss.
        smooth: s, in pixels.
        classes: Mean over the classes "present" in the truth, or over "all"; of no effect with
            global_sum.
        per_image: One Dice an image, then the mean; else one for the batch.
        global_sum: One Dice of all classes together, as pytorch-segmentation's DiceLoss.
        one_channel: One score for two classes, the second one's.
        aux_weight: Factor on the auxiliary head's term.
    Shape:
        prediction (B, C, H, W), target (B, H, W) -> {"dice": scalar}.
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
        global_sum: bool = False,
        one_channel: bool = False,
        aux_weight: float = 0.4,
    ):
        super().__init__(num_classes, ignore_index, aux_weight)
        if smooth < 0:
            raise ValueError(f"smooth is {smooth}; it must not be negative")
        self.out_channels = channels_for(num_classes, one_channel)
        self.smooth, self.per_image, self.global_sum = smooth, per_image, global_sum
        self.present_only = classes == "present"

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        overlaps = soft_overlaps(as_two_channels(prediction), target, self.ignore_index)
        if not self.per_image:
            overlaps = [value.sum(0, keepdim=True) for value in overlaps]
        if self.global_sum:
            overlaps = [value.sum(1, keepdim=True) for value in overlaps]
        hit, found, truth = overlaps
        whole = found + truth + self.smooth
        dice = (2 * hit + self.smooth) / whole.clamp(min=1e-12)
        return {"dice": mean_over_classes(1 - dice, truth, self.present_only)}


LOSSES.alias("DiceLoss", "Dice", global_sum=True)
