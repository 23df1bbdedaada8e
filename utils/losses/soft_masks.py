"""Soft masks around a point of the embedding space, and how far they are from true ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from utils.losses.instances import Instances, mean_over_instances
from utils.losses.pieces import square_distances, sum_over_pixels

MaskLoss = Literal["dice", "bce"]


class SoftMasks:
    """p = exp(-d^2 / s) at the distance d from a centre, with s such that p is `threshold` at
    `delta_var`; compared mask by mask.

    Args:
        delta_var: Distance at which a mask ends.
        threshold: Its value there, between 0 and 1.
        loss: "dice", 1 - 2 sum(p t) / (sum p^2 + sum t^2), or "bce", the mean cross-entropy.
        pooled: Dice over all masks of an image as one, in place of the mean of each one's.
    """

    def __init__(self, delta_var: float, threshold: float, loss: MaskLoss, pooled: bool = False):
        self.scale = delta_var**2 / -math.log(threshold)
        self.sums, self.cost = COSTS[loss]
        self.pooled = pooled

    def against_instances(
        self, x: Tensor, means: Tensor, instances: Instances, counted: Tensor
    ) -> Tensor:
        """Masks around means (B, E, K) against the instances themselves, background left out.

        Args:
            x: Embeddings (B, E, P).
            means: Of the instances.
            instances: Of the same pixels.
            counted: Pixels (B, P) bool that count, unlabelled ones among them.
        """
        sums = sum_over_pixels(self._instance_sums, x, means, instances.index, counted)
        return self.mean_cost(sums, instances.present & ~instances.is_background)

    def against_teacher(
        self, x: Tensor, anchors: Tensor, teacher: Tensor, theirs: Tensor, region: Tensor,
        chosen: Tensor,
    ) -> Tensor:  # fmt: skip
        """Masks around anchors (B, E, A) against the teacher's around the same pixels.

        Args:
            x: Embeddings (B, E, P).
            anchors: Of the anchor pixels.
            teacher: The teacher's embeddings (B, E, P).
            theirs: Of the anchor pixels (B, E, A).
            region: Pixels (B, P) bool that count.
            chosen: Which anchors (B, A) there are.
        """
        sums = partial(self._teacher_sums, theirs=theirs)
        return self.mean_cost(sum_over_pixels(sums, x, anchors, teacher, region), chosen)

    def mean_cost(self, sums: Tensor, masks: Tensor) -> Tensor:
        """The mean over an image's masks (B, K), then over images."""
        if self.pooled:
            sums = (sums * masks[..., None]).sum(1, keepdim=True)
            masks = masks.any(1, keepdim=True)
        return mean_over_instances(self.cost(sums), masks)

    def _instance_sums(self, x: Tensor, means: Tensor, index: Tensor, counted: Tensor) -> Tensor:
        truth = index[:, None] == torch.arange(means.shape[2], device=x.device)[:, None]
        return self.sums(self.log_mask(x, means), truth.to(x.dtype), counted)

    def _teacher_sums(
        self, x: Tensor, anchors: Tensor, teacher: Tensor, region: Tensor, theirs: Tensor
    ) -> Tensor:
        truth = self.log_mask(teacher, theirs).exp() * region[:, None]
        return self.sums(self.log_mask(x, anchors), truth, region)

    def log_mask(self, x: Tensor, centres: Tensor) -> Tensor:
        """log p (B, K, P) of masks around centres (B, E, K), cut off where p is 4e-18: smaller
        ones, squared, are denormal numbers, which processors are slow with."""
        return (square_distances(x, centres) / -self.scale).clamp(min=-40)


def dice_sums(log_p: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
    return overlap_sums(log_p.exp() * counted[:, None], truth)


def overlap_sums(p: Tensor, truth: Tensor) -> Tensor:
    """Sums (B, K, 3) over pixels of p t, p^2 and t^2, of masks (B, K, P)."""
    return torch.stack([(p * truth).sum(2), p.square().sum(2), truth.square().sum(2)], dim=2)


def dice_cost(sums: Tensor) -> Tensor:
    hit, found, true = sums.unbind(2)
    return 1 - 2 * hit / (found + true).clamp(min=1e-12)


def bce_sums(log_p: Tensor, truth: Tensor, counted: Tensor) -> Tensor:
    """Sums (B, K, 2) of the cross-entropy and of ones; p is kept below 1, where it has no log."""
    log_p = log_p.clamp(max=-1e-6)
    cost = -(truth * log_p + (1 - truth) * torch.log(-torch.expm1(log_p)))
    counted = counted[:, None].expand_as(cost)
    return torch.stack([(cost * counted).sum(2), counted.sum(2).to(cost.dtype)], dim=2)


def bce_cost(sums: Tensor) -> Tensor:
    cost, count = sums.unbind(2)
    return cost / count.clamp(min=1)


COSTS: dict[str, tuple[Callable, Callable]] = {
    "dice": (dice_sums, dice_cost),
    "bce": (bce_sums, bce_cost),
}
