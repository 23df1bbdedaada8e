"""Lovász-Softmax: the IoU itself, extended to probabilities."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.losses.binary import channels_for


@LOSSES.register
class LovaszSoftmax(BaseLoss):
    """The Lovász extension of one minus the IoU of each class, at the errors |[y = c] - p[c]|.

    Berman et al., The Lovász-Softmax loss, 2018 (arXiv:1705.08790). Errors are sorted from the
    largest; each counts by how much the IoU falls when its pixel joins those before it. On one
    channel it is the hinge: the same at the errors max(0, 1 - score * sign), for the second class.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss.
        classes: Mean over the classes "present" in the truth, or over "all"; of no effect on one
            channel, whose only class always counts.
        per_image: One IoU an image, then the mean; else one for the batch.
        one_channel: The hinge on one score for two classes.
        aux_weight: Factor on the auxiliary head's term.
    Shape:
        prediction (B, C, H, W), target (B, H, W) -> {"lovasz": scalar}.
    Raises:
        ValueError: If one_channel is asked for and classes are not two.
    """

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        classes: Literal["present", "all"] = "present",
        per_image: bool = False,
        one_channel: bool = False,
        aux_weight: float = 0.4,
    ):
        super().__init__(num_classes, ignore_index, aux_weight)
        self.out_channels = channels_for(num_classes, one_channel)
        self.present_only, self.per_image = classes == "present", per_image

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        valid = target != self.ignore_index
        classes = target.masked_fill(~valid, 0)
        if prediction.shape[1] == 1:
            truth = (classes[:, None] == 1).to(prediction.dtype)
            errors = (1 - prediction * (2 * truth - 1)).relu() * valid[:, None]
        else:
            p = prediction.softmax(1)
            truth = torch.zeros_like(p, dtype=torch.bool).scatter_(1, classes[:, None], True)
            errors = torch.where(truth, 1 - p, p) * valid[:, None]
            truth = truth & valid[:, None]
        # one row an image and class, or a class: an ignored pixel has no error and no truth
        rows = errors.shape[1] * (len(errors) if self.per_image else 1)

        def by_row(x: Tensor) -> Tensor:
            x = x if self.per_image else x.transpose(0, 1)
            return x.reshape(rows, -1)

        loss, present = lovasz_extension(by_row(errors), by_row(truth) > 0)
        images = len(prediction) if self.per_image else 1
        some = by_row(valid[:, None].expand_as(errors)).any(1)
        counted = (present if self.present_only and errors.shape[1] > 1 else some).view(images, -1)
        mean = (loss.view(images, -1) * counted).sum(1) / counted.sum(1).clamp(min=1)
        seen = counted.any(1)
        return {"lovasz": (mean * seen).sum() / seen.sum().clamp(min=1)}


def lovasz_extension(errors: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Value of each row (R,), and whether the row has any truth; errors >= 0, both (R, P)."""
    with torch.no_grad():
        weights = torch.empty_like(errors)
        for row in range(len(errors)):  # one at a time: sorting needs several times its memory
            growth(errors[row], truth[row], weights[row])
    return (errors * weights).sum(1), truth.any(1)


def growth(errors: Tensor, truth: Tensor, out: Tensor) -> None:
    """The extension's gradient, into `out`: how much one minus the IoU grows with each pixel (P,).

    With I the true pixels still right and U the union after it, the next largest error takes off
    1 / U where it is a true pixel, and I / (U (U - 1)) where it is another. (The difference of two
    IoUs, as published, is the same and loses digits.)
    """
    order = descending(errors)
    is_true = truth[order]
    hits = is_true.cumsum(0, dtype=torch.int32)
    total = hits[-1]
    position = torch.arange(1, len(errors) + 1, device=errors.device, dtype=torch.int32)
    union = (total + position - hits).to(errors.dtype)
    right = (total - hits).to(errors.dtype)
    steps = torch.where(is_true, 1 / union, right / (union * (union - 1)).clamp(min=1))
    steps[0] += total == 0  # without any truth the first wrong pixel costs all
    out.scatter_(0, order, steps)


def descending(errors: Tensor) -> Tensor:
    """Indices that sort errors >= 0 from the largest.

    On the CPU by NumPy, whose vectorised sort of whole numbers is several times faster: an error's
    bits, which sort as it does, stand in the upper half of a key, its index in the lower.
    """
    if errors.device.type != "cpu" or errors.dtype != torch.float32:
        return errors.argsort(descending=True)
    bits = errors.contiguous().numpy().view(np.uint32)
    keys = (~bits).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(len(bits), dtype=np.uint64)
    keys.sort()
    keys &= np.uint64(0xFFFFFFFF)
    return torch.from_numpy(keys.view(np.int64))
