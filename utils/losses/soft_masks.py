"""Soft masks around a point of the embedding space, and how far they are from true ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
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
        self.cost, self.pooled = COSTS[loss], pooled

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
        number = torch.arange(means.shape[2], device=x.device)[:, None]
        cost = self.cost(self.scale, lambda index: (index[:, None] == number).to(x.dtype))
        sums = sum_over_pixels(cost, x, means, counted, instances.index)
        return self._mean(cost, sums, instances.present & ~instances.is_background)

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
        origin = theirs.mean(2, keepdim=True)

        def truth(teacher: Tensor) -> Tensor:
            return kernel(square_distances(teacher - origin, theirs - origin), self.scale)

        cost = self.cost(self.scale, truth)
        return self._mean(cost, sum_over_pixels(cost, x, anchors, region, teacher), chosen)

    def _mean(self, cost: MaskCost, sums: Tensor, masks: Tensor) -> Tensor:
        """The mean over an image's masks (B, K), then over images."""
        if self.pooled:
            sums = (sums * masks[..., None]).sum(1, keepdim=True)
            masks = masks.any(1, keepdim=True)
        return mean_over_instances(cost.of_sums(sums), masks)


def kernel(d2: Tensor, scale: float) -> Tensor:
    """Soft masks in place of squared distances, cut off at 4e-18: the squares of smaller ones are
    denormal numbers, which processors are slow with."""
    return d2.mul_(-1 / scale).clamp_(min=-40).exp_()


@dataclass
class MaskCost:
    """Sums over pixels from which the cost of a mask follows.

    Attributes:
        scale: The kernel's s.
        truth: Gives true masks (B, K, P) from what is known of each pixel.
    """

    scale: float
    truth: Callable[[Tensor], Tensor]


class Dice(MaskCost):
    """From the sums (B, K, 3) of p t, p^2 and t^2."""

    def sums(self, d2: Tensor, counted: Tensor, known: Tensor) -> Tensor:
        p = kernel(d2, self.scale).mul_(counted[:, None])
        return overlap_sums(p, self.truth(known).mul_(counted[:, None]))

    def slope(self, d2: Tensor, gradient: Tensor, counted: Tensor, known: Tensor) -> Tensor:
        to_hit, to_found, _ = (g[..., None] / -self.scale for g in gradient.unbind(2))
        p = kernel(d2, self.scale).mul_(counted[:, None])
        return self.truth(known).mul_(to_hit).addcmul_(p, 2 * to_found).mul_(p)

    @staticmethod
    def of_sums(sums: Tensor) -> Tensor:
        hit, found, true = sums.unbind(2)
        return 1 - 2 * hit / (found + true).clamp(min=1e-12)


class CrossEntropy(MaskCost):
    """From the sums (B, K, 2) of the cross-entropy and of ones; p is kept below 1 - 1e-6, where
    1 - p still has a logarithm."""

    def sums(self, d2: Tensor, counted: Tensor, known: Tensor) -> Tensor:
        away, truth = (d2 / self.scale).clamp_(min=1e-6), self.truth(known)
        cost = truth * away - (1 - truth) * torch.log(-torch.expm1(-away))
        count = counted[:, None].expand_as(cost)
        return torch.stack([(cost * count).sum(2), count.sum(2).to(cost.dtype)], dim=2)

    def slope(self, d2: Tensor, gradient: Tensor, counted: Tensor, known: Tensor) -> Tensor:
        away, truth = d2 / self.scale, self.truth(known)
        steep = truth - (1 - truth) / torch.expm1(away.clamp(1e-6, 80))
        return steep * ((away > 1e-6) & counted[:, None]) * gradient[..., :1] / self.scale

    @staticmethod
    def of_sums(sums: Tensor) -> Tensor:
        cost, count = sums.unbind(2)
        return cost / count.clamp(min=1)


def overlap_sums(p: Tensor, truth: Tensor) -> Tensor:
    """Sums (B, K, 3) over pixels of p t, p^2 and t^2, of masks (B, K, P)."""
    return torch.stack([(p * truth).sum(2), p.square().sum(2), truth.square().sum(2)], dim=2)


COSTS = {"dice": Dice, "bce": CrossEntropy}
