"""Focal loss."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.distributed import global_mean
from utils.losses.binary import as_two_channels, channels_for
from utils.losses.class_weights import WeightScheme, class_weights_tensor


@LOSSES.register
class Focal(BaseLoss):
    """Mean of -w[y] (1 - p[y]) ^ gamma log p[y] over the pixels that are not ignored.

    Lin et al., Focal Loss for Dense Object Detection, 2017 (arXiv:1708.02002), with softmax in
    place of a sigmoid a class. p[y] is the probability itself, not that of a weighted
    cross-entropy; the mean is over pixels, not over weights.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss.
        gamma: How much easy pixels are turned down; 0 is cross-entropy.
        class_weights: One factor a class (the paper's alpha), or how to take them from the training
            labels.
        one_channel: One score for two classes, the second one's.
        aux_weight: Factor on the auxiliary head's term.
        class_counts: Pixels of each class in the training labels.
    Shape:
        prediction (B, C, H, W), target (B, H, W) -> {"focal": scalar}.
    Raises:
        ValueError: If gamma is negative, weights do not fit the classes, or one_channel is asked
            for and classes are not two.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        gamma: float = 2.0,
        class_weights: list[float] | WeightScheme | None = None,
        one_channel: bool = False,
        aux_weight: float = 0.4,
        class_counts: list[int] | None = None,
    ):
        super().__init__(num_classes, ignore_index, aux_weight)
        if gamma < 0:
            raise ValueError(f"gamma is {gamma}; it must not be negative")
        self.out_channels = channels_for(num_classes, one_channel)
        self.gamma = gamma
        weight = class_weights_tensor(class_weights, num_classes, class_counts)
        self.register_buffer("weight", weight, persistent=False)

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        prediction = as_two_channels(prediction)
        ce = F.cross_entropy(
            prediction, target, ignore_index=self.ignore_index, reduction="none"
        )  # -log p[y], 0 where ignored
        wrong = -(-ce).expm1()  # 1 - p[y]; the power's slope at 0 has no bound where gamma < 1
        focal = wrong.clamp(min=1e-8) ** self.gamma * ce
        valid = target != self.ignore_index
        if self.weight is not None:
            focal = focal * self.weight[target.masked_fill(~valid, 0)]
        return {"focal": global_mean(focal.sum(), valid.sum())}


LOSSES.alias("FocalLoss", "Focal")
