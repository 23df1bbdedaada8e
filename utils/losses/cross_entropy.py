"""Cross-entropy over pixels."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.losses.class_weights import class_weights_tensor


@LOSSES.register
class CrossEntropy(BaseLoss):
    """Mean of -w[y] log softmax(x)[y] over the pixels that are not ignored, divided by their
    weights.

    Equal to torch's `cross_entropy` with reduction "mean", but 0 where every pixel is ignored.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss.
        class_weights: One factor a class, or "auto" to take ENet's 1 / ln(1.02 + frequency) from
            the training labels.
        label_smoothing: Share of the target spread evenly over all classes, 0 to 1.
        aux_weight: Factor on the auxiliary head's term.
        class_counts: Pixels of each class in the training labels, for "auto".
    Shape:
        prediction (B, C, H, W), target (B, H, W) -> {"ce": scalar}.
    Raises:
        ValueError: If there are not as many weights as classes, or label_smoothing is not in 0 to
            1.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        class_weights: list[float] | Literal["auto"] | None = None,
        label_smoothing: float = 0.0,
        aux_weight: float = 0.4,
        class_counts: list[int] | None = None,
    ):
        super().__init__(num_classes, ignore_index, aux_weight)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing is {label_smoothing}; it goes from 0 to 1")
        self.out_channels = num_classes
        self.label_smoothing = label_smoothing
        weight = class_weights_tensor(class_weights, num_classes, class_counts)
        self.register_buffer("weight", weight, persistent=False)

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        total = F.cross_entropy(
            prediction,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction="sum",
            label_smoothing=self.label_smoothing,
        )
        valid = target != self.ignore_index
        if self.weight is None:
            mass = valid.sum().clamp(min=1)
        else:
            masses = self.weight[target.masked_fill(~valid, 0)] * valid
            mass = masses.sum()
            mass = mass + (mass == 0)
        return {"ce": total / mass}


LOSSES.alias("CrossEntropyLoss2d", "CrossEntropy")
