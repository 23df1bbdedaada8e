"""Tversky and focal Tversky: Dice with the two kinds of error weighed apart."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.losses.binary import as_two_channels, channels_for
from utils.losses.overlap import mean_over_classes, soft_overlaps


@LOSSES.register
class Tversky(BaseLoss):
    """(1 - T) ^ (1 / gamma) of each class, T = (hit + s) / (hit + alpha FP + beta FN + s).

    hit as in Dice, FP = found - hit, FN = truth - hit. alpha = beta = 1/2 is Dice, 1 Jaccard.
    Salehi et al., 2017 (arXiv:1706.05721); the exponent is Abraham and Khan's focal one, 2018
    (arXiv:1810.07842).

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss.
        alpha: Weight of false positives.
        beta: Weight of false negatives; above alpha favours finding all of a class.
        gamma: 1 for Tversky; above it (4/3 in the paper) easy classes count less.
        smooth: s, in pixels.
        classes: Mean over the classes "present" in the truth, or over "all".
        one_channel: One score for two classes, the second one's.
        aux_weight: Factor on the auxiliary head's term.
    Shape:
        prediction (B, C, H, W), target (B, H, W) -> {"tversky": scalar}.
    Raises:
        ValueError: If a weight is negative, gamma not above zero, or one_channel is asked for and
            classes are not two.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 1.0,
        smooth: float = 1.0,
        classes: Literal["present", "all"] = "present",
        one_channel: bool = False,
        aux_weight: float = 0.4,
    ):
        super().__init__(num_classes, ignore_index, aux_weight)
        for name, value in (("alpha", alpha), ("beta", beta), ("smooth", smooth)):
            if value < 0:
                raise ValueError(f"{name} is {value}; it must not be negative")
        if gamma <= 0:
            raise ValueError(f"gamma is {gamma}; it must be above zero")
        self.out_channels = channels_for(num_classes, one_channel)
        self.alpha, self.beta, self.gamma, self.smooth = alpha, beta, gamma, smooth
        self.present_only = classes == "present"

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        overlaps = soft_overlaps(as_two_channels(prediction), target, self.ignore_index)
        hit, found, truth = (value.sum(0, keepdim=True) for value in overlaps)
        whole = hit + self.alpha * (found - hit) + self.beta * (truth - hit) + self.smooth
        wrong = 1 - (hit + self.smooth) / whole.clamp(min=1e-12)
        if self.gamma != 1:
            wrong = wrong.clamp(min=1e-6) ** (1 / self.gamma)  # its slope at 0 has no bound
        return {"tversky": mean_over_classes(wrong, truth, self.present_only)}
