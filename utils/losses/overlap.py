"""Soft overlaps of prediction and truth: what Dice, Jaccard and Tversky are made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 2**16  # pixels that are added up in float32


class Overlaps(torch.autograd.Function):
    """Per image and class, the probability on the truth and the probability in all.

    With y the truth and p = softmax(x): hit[b, c] = sum of p[c] where y = c, found[b, c] = sum of
    p[c], over the pixels that are not ignored. Nothing is one-hot and only p is kept, so a third of
    the memory of the plain formula is enough; the gradient is p * (g - sum of g p), g[c] being
    d/dfound[c] everywhere and d/dhit[c] more where y = c.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, P), target (B, P) in 0 to C - 1, valid (B, P) bool -> hit, found (B, C)."""
        p = x.softmax(dim=1)
        weight = valid.to(p.dtype)
        true = p.gather(1, target[:, None]).squeeze(1) * weight
        hit = class_sums(true, target, p.shape[1])
        chunks = zip(p.split(CHUNK, 2), weight.split(CHUNK, 1), strict=True)
        found = sum(torch.bmm(part, w[:, :, None]).double() for part, w in chunks).squeeze(2)
        ctx.save_for_backward(p, target, weight, true)
        return hit, found.to(p.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_hit: Tensor, to_found: Tensor) -> tuple[Tensor, None, None]:
        p, target, weight, true = ctx.saved_tensors
        at_truth = to_hit.gather(1, target) * true  # g p of the truth, its `hit` part
        mean = torch.bmm(to_found[:, None], p).squeeze(1) * weight + at_truth
        gradient = p * (to_found[:, :, None] * weight[:, None] - mean[:, None])
        return gradient.scatter_add_(1, target[:, None], at_truth[:, None]), None, None


def soft_overlaps(prediction: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, ...]:
    """Hit, found and true mass of each image and class.

    Args:
        prediction: Scores (B, C, H, W).
        target: Classes (B, H, W).
        ignore_index: Target value that counts for nothing.

    Returns:
        hit, found, truth, each (B, C): sum of p on the truth, sum of p, number of pixels.
    """
    flat = target.flatten(1)
    valid = flat != ignore_index
    classes = flat.masked_fill(~valid, 0)
    hit, found = Overlaps.apply(prediction.flatten(2), classes, valid)
    return hit, found, class_sums(valid.to(hit.dtype), classes, hit.shape[1])


def class_sums(values: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Sum of values (B, P) of each class (B, C).

    Added up in float64: one float32 sum over millions of pixels would be off in the second digit.
    """
    sums = values.new_zeros((len(values), num_classes), dtype=torch.float64)
    return sums.scatter_add(1, classes, values.double()).to(values.dtype)


def mean_over_classes(loss: Tensor, truth: Tensor, present_only: bool) -> Tensor:
    """Mean of `loss` (B, C) over the classes of a row that occur in the truth, or over all, then
    over the rows.

    Rows without any pixel are left out; 0 where there is none with.
    """
    some = truth.sum(1) > 0
    counted = truth > 0 if present_only else some[:, None].expand_as(truth)
    rows = (loss * counted).sum(1) / counted.sum(1).clamp(min=1)
    return rows.sum() / some.sum().clamp(min=1)
