"""The Cityscapes/KITTI project's loss: binary cross-entropy and the logarithm of Dice."""

from __future__ import annotations

import torch
from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.losses.bce import BCE
from utils.losses.class_weights import WeightScheme, class_weights_tensor
from utils.losses.overlap import class_sums


@LOSSES.register
class BCEDice(BaseLoss):
    """w BCE - (1 - w) log(sum of v[c] dice[c]), each class on its own behind a sigmoid.

    dice[c] = (2 hit + s) / (found + truth + s) with the sigmoid itself: the project thresholded it,
    which has no gradient. v is normalised to a sum of one. One channel gives the second class its
    sigmoid and the first the rest to one; without v, the second class alone counts there.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss.
        bce_weight: w, 0 to 1.
        class_weights: v, one factor a class, or how to take them from the training labels; equal
            ones without.
        smooth: s, in pixels.
        one_channel: One score for two classes, the second one's.
        aux_weight: Factor on the auxiliary head's terms.
        class_counts: Pixels of each class in the training labels.
    Shape:
        prediction (B, C, H, W), target (B, H, W) -> {"bce": scalar, "log_dice": scalar}.
    Raises:
        ValueError: If bce_weight is not in 0 to 1, smooth not above zero, weights do not fit the
            classes, or one_channel is asked for and classes are not two.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        bce_weight: float = 0.8,
        class_weights: list[float] | WeightScheme | None = None,
        smooth: float = 1.0,
        one_channel: bool = False,
        aux_weight: float = 0.4,
        class_counts: list[int] | None = None,
    ):
        super().__init__(num_classes, ignore_index, aux_weight)
        if not 0 <= bce_weight <= 1:
            raise ValueError(f"bce_weight is {bce_weight}; it goes from 0 to 1")
        if smooth <= 0:
            raise ValueError(f"smooth is {smooth}; it must be above zero")
        self.bce = BCE(num_classes, ignore_index, None, one_channel)
        self.out_channels = self.bce.out_channels
        self.bce_weight, self.smooth = bce_weight, smooth
        weight = class_weights_tensor(class_weights, num_classes, class_counts)
        if weight is None:
            weight = torch.tensor([0.0, 1.0]) if one_channel else torch.ones(num_classes)
        self.register_buffer("weight", weight / weight.sum(), persistent=False)

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        valid = target != self.ignore_index
        classes = target.masked_fill(~valid, 0)
        two = torch.cat([-prediction, prediction], 1) if prediction.shape[1] == 1 else prediction
        p = two.sigmoid() * valid[:, None]
        true = p.gather(1, classes[:, None])[:, 0]
        hit, truth = (
            class_sums(v.flatten(1), classes.flatten(1), p.shape[1]).sum(0)
            for v in (true, valid.to(p.dtype))
        )
        dice = (2 * hit + self.smooth) / (p.sum((0, 2, 3)) + truth + self.smooth)
        bce = self.bce.terms(prediction, target)["bce"]
        log_dice = -(self.weight * dice).sum().log() * valid.any()
        return {"bce": self.bce_weight * bce, "log_dice": (1 - self.bce_weight) * log_dice}
