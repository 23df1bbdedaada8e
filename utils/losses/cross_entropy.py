"""Cross-entropy over pixels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.distributed import global_mean
from utils.losses.binary import as_two_channels, channels_for
from utils.losses.class_weights import WeightScheme, class_weights_tensor


@LOSSES.register
class CrossEntropy(BaseLoss):
    """Mean of -w[y] log softmax(x)[y] over the pixels that are not ignored, divided by their
    weights.

    Equal to torch's `cross_entropy` with reduction "mean", but 0 where every pixel is ignored.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss.
        class_weights: One factor a class, or how to take them from the share p of each class in
            the training labels: "auto" or "enet" for 1 / ln(1.02 + p), "inverse" for 1 / (C p),
            "median" for median(p) / p.
        label_smoothing: Share of the target spread evenly over all classes, 0 to 1.
        one_channel: One score for two classes, the second one's.
        aux_weight: Factor on the auxiliary head's term.
        class_counts: Pixels of each class in the training labels.
    Shape:
        prediction (B, C, H, W), target (B, H, W) -> {"ce": scalar}.
    Raises:
        ValueError: If there are not as many weights as classes, label_smoothing is not in 0 to 1,
            or one_channel is asked for and classes are not two.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        class_weights: list[float] | WeightScheme | None = None,
        label_smoothing: float = 0.0,
        one_channel: bool = False,
        aux_weight: float = 0.4,
        class_counts: list[int] | None = None,
    ):
        super().__init__(num_classes, ignore_index, aux_weight)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing is {label_smoothing}; it goes from 0 to 1")
        self.out_channels = channels_for(num_classes, one_channel)
        self.label_smoothing = label_smoothing
        weight = class_weights_tensor(class_weights, num_classes, class_counts)
        self.register_buffer("weight", weight, persistent=False)

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        total = F.cross_entropy(
            as_two_channels(prediction),
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        valid = target != self.ignore_index
        if self.weight is None:
            mass = valid.sum()
        else:
            mass = (self.weight[target.masked_fill(~valid, 0)] * valid).sum()
        return {"ce": global_mean(total, mass)}


LOSSES.alias("CrossEntropyLoss2d", "CrossEntropy")
