"""Binary cross-entropy: every class on its own."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.distributed import global_mean
from utils.losses.binary import channels_for
from utils.losses.class_weights import WeightScheme, class_weights_tensor


@LOSSES.register
class BCE(BaseLoss):
    """Mean over pixels and channels of the sigmoid's cross-entropy with "this class or not".

    softplus(x[c]) - [y = c] x[c], so that no one-hot target is made. Of several channels the
    highest is the label, as with softmax. With weights w, the cost of channel c counts w[c] times;
    on one channel that of a pixel counts w[y] times. The mean is over pixels, not over weights.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss.
        class_weights: One factor a class, or how to take them from the training labels.
        one_channel: One score for two classes, the second one's.
        aux_weight: Factor on the auxiliary head's term.
        class_counts: Pixels of each class in the training labels.
    Shape:
        prediction (B, C, H, W), target (B, H, W) -> {"bce": scalar}.
    Raises:
        ValueError: If weights do not fit the classes, or one_channel is asked for and classes are
            not two.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        class_weights: list[float] | WeightScheme | None = None,
        one_channel: bool = False,
        aux_weight: float = 0.4,
        class_counts: list[int] | None = None,
    ):
        super().__init__(num_classes, ignore_index, aux_weight)
        self.out_channels = channels_for(num_classes, one_channel)
        weight = class_weights_tensor(class_weights, num_classes, class_counts)
        self.register_buffer("weight", weight, persistent=False)

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        valid = target != self.ignore_index
        classes = target.masked_fill(~valid, 0)
        cost = F.softplus(prediction)
        if prediction.shape[1] == 1:
            cost, hit = cost[:, 0], prediction[:, 0] * (classes == 1)
            if self.weight is not None:
                cost, hit = (part * self.weight[classes] for part in (cost, hit))
        else:
            hit = prediction.gather(1, classes[:, None])[:, 0]
            if self.weight is not None:
                cost, hit = cost * self.weight[:, None, None], hit * self.weight[classes]
            cost = cost.sum(1)
        total = ((cost - hit) * valid).sum()
        return {"bce": global_mean(total, valid.sum() * prediction.shape[1])}
