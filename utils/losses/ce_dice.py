"""Cross-entropy and Dice together."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.losses.class_weights import WeightScheme
from utils.losses.cross_entropy import CrossEntropy
from utils.losses.dice import Dice


@LOSSES.register
class CEDice(BaseLoss):
    """The sum of CrossEntropy and Dice; both ignore the same pixels.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss.
        smooth: Pixels added above and below the fraction of Dice.
        classes: Mean of Dice over the classes "present" in the truth, or over "all"; of no effect
            with global_sum.
        global_sum: One Dice of all classes together, as pytorch-segmentation's CE_DiceLoss.
        class_weights: Of cross-entropy: one factor a class, or how to take them from the training
            labels.
        one_channel: One score for two classes, the second one's.
        aux_weight: Factor on the auxiliary head's terms.
        class_counts: Pixels of each class in the training labels.
    Shape:
        prediction (B, C, H, W), target (B, H, W) -> {"ce": scalar, "dice": scalar}.
    Raises:
        ValueError: As CrossEntropy and Dice do.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        smooth: float = 1.0,
        classes: Literal["present", "all"] = "present",
        global_sum: bool = False,
        class_weights: list[float] | WeightScheme | None = None,
        one_channel: bool = False,
        aux_weight: float = 0.4,
        class_counts: list[int] | None = None,
    ):
        super().__init__(num_classes, ignore_index, aux_weight)
        self.ce = CrossEntropy(
            num_classes,
            ignore_index,
            class_weights,
            one_channel=one_channel,
            class_counts=class_counts,
        )
        self.dice = Dice(
            num_classes,
            ignore_index,
            smooth,
            classes,
            global_sum=global_sum,
            one_channel=one_channel,
        )
        self.out_channels = self.ce.out_channels

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        return self.ce.terms(prediction, target) | self.dice.terms(prediction, target)


LOSSES.alias("CE_DiceLoss", "CEDice", global_sum=True)
