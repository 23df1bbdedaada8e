"""Two losses: one on class ids, one on instance ids."""

import torch.nn.functional as F
from torch import Tensor

from utils.losses import LOSSES, BaseLoss


@LOSSES.register
class Brier(BaseLoss):
    """Mean squared distance between the class probabilities and the truth."""

    def __init__(self, num_classes: int, ignore_index: int, aux_weight: float = 0.4):
        super().__init__(num_classes, ignore_index, aux_weight)
        self.out_channels = num_classes

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        valid = target != self.ignore_index
        truth = F.one_hot(target.masked_fill(~valid, 0), self.num_classes).movedim(-1, 1)
        distance = (prediction.softmax(dim=1) - truth).square().sum(dim=1)  # (B, H, W)
        return {"brier": (distance * valid).sum() / valid.sum().clamp(min=1)}


@LOSSES.register
class Foreground(BaseLoss):
    """Binary cross-entropy of "some instance is here" (ids from 1 up) against background, 0."""

    out_channels = 1

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        valid = target != self.ignore_index  # -1 where the target is "instance"
        truth = (target > 0).float()
        cost = F.binary_cross_entropy_with_logits(prediction[:, 0], truth, reduction="none")
        return {"bce": (cost * valid).sum() / valid.sum().clamp(min=1)}
