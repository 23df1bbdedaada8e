"""Cross-entropy over the hardest pixels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.distributed import global_mean
from utils.losses.binary import as_two_channels, channels_for
from utils.losses.class_weights import WeightScheme, class_weights_tensor


@LOSSES.register
class OhemCrossEntropy(BaseLoss):
    """Mean cross-entropy over the pixels whose true class has a probability below a threshold.

    Online hard example mining (Shrivastava et al., 2016, arXiv:1604.03540) as segmentation uses it:
    where too few pixels are that hard, the hardest min_share of the batch count.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss.
        threshold: Probability of the true class from which a pixel is easy.
        min_share: Least part of the batch's pixels that counts, 0 to 1.
        class_weights: One factor a class, or how to take them from the training labels.
        one_channel: One score for two classes, the second one's.
        aux_weight: Factor on the auxiliary head's term.
        class_counts: Pixels of each class in the training labels.
    Shape:
        prediction (B, C, H, W), target (B, H, W) -> {"ohem_ce": scalar}.
    Raises:
        ValueError: If threshold or min_share is out of range, weights do not fit the classes, or
            one_channel is asked for and classes are not two.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        threshold: float = 0.7,
        min_share: float = 0.0625,
        class_weights: list[float] | WeightScheme | None = None,
        one_channel: bool = False,
        aux_weight: float = 0.4,
        class_counts: list[int] | None = None,
    ):
        super().__init__(num_classes, ignore_index, aux_weight)
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold is {threshold}; it is a probability above 0")
        if not 0 <= min_share <= 1:
            raise ValueError(f"min_share is {min_share}; it goes from 0 to 1")
        self.out_channels = channels_for(num_classes, one_channel)
        self.hard, self.min_share = -math.log(threshold), min_share
        weight = class_weights_tensor(class_weights, num_classes, class_counts)
        self.register_buffer("weight", weight, persistent=False)

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        prediction = as_two_channels(prediction)
        ce = F.cross_entropy(prediction, target, ignore_index=self.ignore_index, reduction="none")
        valid = target != self.ignore_index
        with torch.no_grad():  # no count is read back: the device is not waited for
            hardness = torch.where(valid, ce, -1.0).flatten()
            least = max(int(self.min_share * hardness.numel()), 1)
            bound = hardness.topk(least).values[-1].clamp(min=0, max=self.hard)
            kept = (hardness >= bound).view_as(ce)
        weights = kept.to(ce.dtype)
        if self.weight is not None:
            weights = weights * self.weight[target.masked_fill(~valid, 0)]
        return {"ohem_ce": global_mean((ce * weights).sum(), weights.sum())}
