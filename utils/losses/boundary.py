"""A loss that looks at outlines alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.losses.binary import as_two_channels, channels_for


@LOSSES.register
class Boundary(BaseLoss):
    """One minus the boundary F1 of each class, with outlines drawn by pooling.

    Bokhovkin and Burnaev, Boundary Loss for Remote Sensing Imagery Semantic Segmentation, 2019
    (arXiv:1905.07852). The outline of a map p is maxpool(1 - p) - (1 - p); precision is the share
    of the predicted outline within `tolerance` of the true one, recall the reverse. Mean over the
    classes whose outline the truth shows. To be added to a loss that fills the inside.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss; its pixels belong to no outline.
        width: Side of the window that draws an outline, in pixels, odd.
        tolerance: Side of the window within which outlines meet, in pixels, odd.
        one_channel: One score for two classes, the second one's.
        aux_weight: Factor on the auxiliary head's term.
    Shape:
        prediction (B, C, H, W), target (B, H, W) -> {"boundary": scalar}.
    Raises:
        ValueError: If a window is even or below 3, or one_channel is asked for and classes are not
            two.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        width: int = 3,
        tolerance: int = 5,
        one_channel: bool = False,
        aux_weight: float = 0.4,
    ):
        super().__init__(num_classes, ignore_index, aux_weight)
        for name, side in (("width", width), ("tolerance", tolerance)):
            if side < 3 or side % 2 == 0:
                raise ValueError(f"{name} is {side}; a window's side is odd and at least 3")
        self.out_channels = channels_for(num_classes, one_channel)
        self.width, self.tolerance = width, tolerance

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        valid = (target != self.ignore_index)[:, None]
        classes = target.masked_fill(~valid[:, 0], 0)
        p = as_two_channels(prediction).softmax(1)
        truth = torch.zeros_like(p).scatter_(1, classes[:, None], 1.0)

        # ignored pixels are outside every class, and no outline is drawn around them
        inside = 1 - grow((~valid).to(p.dtype), self.width)
        found = self.outline(p * valid) * inside
        true = self.outline(truth * valid) * inside
        sums = (0, 2, 3)
        precision = (found * grow(true, self.tolerance)).sum(sums) / found.sum(sums).clamp(min=1e-7)
        recall = (true * grow(found, self.tolerance)).sum(sums) / true.sum(sums).clamp(min=1e-7)
        f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-7)
        seen = true.sum(sums) > 0
        return {"boundary": ((1 - f1) * seen).sum() / seen.sum().clamp(min=1)}

    def outline(self, p: Tensor) -> Tensor:
        """How much of each pixel (B, C, H, W) lies within the width of the outside."""
        return grow(1 - p, self.width) - (1 - p)


def grow(x: Tensor, side: int) -> Tensor:
    """The largest value in a window around each pixel."""
    return F.max_pool2d(x, side, stride=1, padding=side // 2)
