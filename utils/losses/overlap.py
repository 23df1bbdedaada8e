"""Soft overlaps of prediction and truth: what Dice, Jaccard and Tversky are made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


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
        hit = p.new_zeros(p.shape[:2]).scatter_add_(1, target, true)
        found = torch.bmm(p, weight[:, :, None]).squeeze(2)
        ctx.save_for_backward(p, target, weight, true)
        return hit, found

    @staticmethod
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
    truth = torch.zeros_like(hit).scatter_add_(1, classes, valid.to(hit.dtype))
    return hit, found, truth


def mean_over_classes(loss: Tensor, truth: Tensor, present_only: bool) -> Tensor:
    """Mean of `loss` (..., C), over the classes that occur in the truth or over all.

    0 where there is no pixel at all.
    """
    counted = truth > 0 if present_only else (truth.sum(-1, keepdim=True) > 0).expand_as(truth)
    return (loss * counted).sum() / counted.sum().clamp(min=1)
