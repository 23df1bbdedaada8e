"""Soft masks around a point of the embedding space, and how far they are from true ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.linalg import vecdot

from utils.losses.instances import Instances, mean_over_instances
from utils.losses.pieces import Around, at_pixels, square_distances, square_sum

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

    def around_means(self, means: Tensor, instances: Instances, counted: Tensor) -> Around:
        """Masks around means (B, E, K) against the instances themselves.

        Args:
            means: Of the instances.
            instances: Of all pixels.
            counted: Pixels (B, P) bool that count, unlabelled ones among them.
        """
        truth = Annotated(instances.index, means.shape[2])
        return Around(self.cost(self.scale, weights(counted, means), truth), means)

    def around_pixels(self, pixels: Tensor, teacher: Tensor, region: Tensor) -> Around:
        """Masks around pixels (B, A) against the teacher's around the same.

        Args:
            pixels: The anchors.
            teacher: The teacher's embeddings (B, E, P).
            region: Pixels (B, P) bool that count.
        """
        truth = Taught(self.scale, teacher, at_pixels(teacher, pixels))
        return Around(self.cost(self.scale, weights(region, teacher), truth), pixels)

    def mean(self, sums: Tensor, masks: Tensor) -> Tensor:
        """The mean cost of an image's masks (B, K) of these sums (B, K, N), then over images."""
        if self.pooled:
            sums = (sums * masks[..., None]).sum(1, keepdim=True)
            masks = masks.any(1, keepdim=True)
        return mean_over_instances(self.cost.of_sums(sums), masks)


def weights(counted: Tensor, like: Tensor) -> Tensor:
    """(B, 1, P), 1 where a pixel counts."""
    return counted[:, None].to(like.dtype)


def kernel(d2: Tensor, scale: float) -> Tensor:
    """Soft masks of squared distances, cut off at 4e-18: the squares of smaller ones are denormal
    numbers, which processors are slow with. By powers of 2, which they are faster with."""
    return d2.mul(-1 / (scale * math.log(2))).clamp_(-58, 0).exp2_()


class Truth(Protocol):
    """True masks t (B, K, P), a piece (B, K, n) at a time."""

    def masks(self, piece: slice) -> Tensor:
        """The masks."""

    def sums(self, p: Tensor, weight: Tensor, piece: slice) -> tuple[Tensor, Tensor]:
        """Sums (B, K) of p t and of weight t^2, with p 0 where the weight is."""

    def add_to(self, p: Tensor, factor: Tensor, piece: slice) -> None:
        """Add factor (B, K, 1) * t to p."""


@dataclass
class Annotated:
    """The annotated masks.

    Attributes:
        index: Instance of each pixel (B, P); K where there is none.
        count: K.
    """

    index: Tensor
    count: int

    def __post_init__(self):
        self.own = self.index.clamp(max=self.count - 1)[:, None]

    def masks(self, piece: slice) -> Tensor:
        number = torch.arange(self.count, device=self.index.device)[:, None]
        return self.index[:, None, piece] == number

    def sums(self, p: Tensor, weight: Tensor, piece: slice) -> tuple[Tensor, Tensor]:
        of_own = p.gather(1, self.own[..., piece])
        both, size = (
            p.new_zeros(len(p), self.count + 1).scatter_add_(1, self.index[:, piece], values[:, 0])
            for values in (of_own, weight)
        )
        return both[:, :-1], size[:, :-1]

    def add_to(self, p: Tensor, factor: Tensor, piece: slice) -> None:
        factors = torch.nn.functional.pad(factor[..., 0], (0, 1))  # 0 for pixels of no instance
        p.scatter_add_(1, self.own[..., piece], factors.gather(1, self.index[:, piece])[:, None])


@dataclass
class Taught:
    """Soft masks of another embedding.

    Attributes:
        scale: The kernel's s.
        teacher: Embeddings (B, E, P).
        centres: Centres of the masks (B, E, K).
    """

    scale: float
    teacher: Tensor
    centres: Tensor

    def __post_init__(self):
        self.origin = self.centres.mean(2, keepdim=True)

    def masks(self, piece: slice) -> Tensor:
        d2 = square_distances(self.teacher[..., piece], self.centres, self.origin)
        return kernel(d2, self.scale)

    def sums(self, p: Tensor, weight: Tensor, piece: slice) -> tuple[Tensor, Tensor]:
        t = self.masks(piece)
        overlap = vecdot(p, t)
        return overlap, square_sum(t.mul_(weight))

    def add_to(self, p: Tensor, factor: Tensor, piece: slice) -> None:
        p.addcmul_(self.masks(piece), factor)


@dataclass
class MaskCost:
    """Sums over pixels from which the cost of a mask follows.

    Attributes:
        scale: The kernel's s.
        weight: 1 for pixels (B, 1, P) that count, else 0.
        truth: The true masks.
    """

    scale: float
    weight: Tensor
    truth: Truth


class Dice(MaskCost):
    """From the sums (B, K, 3) of p t, p^2 and t^2."""

    def sums(self, d2: Tensor, piece: slice) -> Tensor:
        weight = self.weight[..., piece]
        p = kernel(d2, self.scale).mul_(weight)
        both, true = self.truth.sums(p, weight, piece)
        return torch.stack([both, square_sum(p), true], dim=2)

    def slope(self, d2: Tensor, gradient: Tensor, piece: slice) -> Tensor:
        to_both, to_found, _ = (g[..., None] / -self.scale for g in gradient.unbind(2))
        p = kernel(d2, self.scale).mul_(self.weight[..., piece])
        slope = p * (2 * to_found)
        self.truth.add_to(slope, to_both, piece)
        return slope.mul_(p)

    @staticmethod
    def of_sums(sums: Tensor) -> Tensor:
        both, found, true = sums.unbind(2)
        return 1 - 2 * both / (found + true).clamp(min=1e-12)


class CrossEntropy(MaskCost):
    """From the sums (B, K, 2) of the cross-entropy and of ones; p is kept below 1 - 1e-6, where
    1 - p still has a logarithm."""

    def sums(self, d2: Tensor, piece: slice) -> Tensor:
        away, truth = (d2 / self.scale).clamp_(min=1e-6), self.truth.masks(piece).to(d2.dtype)
        cost = truth * away - (1 - truth) * torch.log(-torch.expm1(-away))
        weight = self.weight[..., piece].expand_as(cost)
        return torch.stack([vecdot(cost, weight), weight.sum(2)], dim=2)

    def slope(self, d2: Tensor, gradient: Tensor, piece: slice) -> Tensor:
        away, truth = d2 / self.scale, self.truth.masks(piece).to(d2.dtype)
        steep = truth - (1 - truth) / torch.expm1(away.clamp(1e-6, 80))
        return steep * ((away > 1e-6) * self.weight[..., piece]) * gradient[..., :1] / self.scale

    @staticmethod
    def of_sums(sums: Tensor) -> Tensor:
        cost, count = sums.unbind(2)
        return cost / count.clamp(min=1)


def overlap_sums(p: Tensor, truth: Tensor) -> Tensor:
    """Sums (B, K, 3) over pixels of p t, p^2 and t^2, of masks (B, K, P)."""
    return torch.stack([(p * truth).sum(2), p.square().sum(2), truth.square().sum(2)], dim=2)


COSTS = {"dice": Dice, "bce": CrossEntropy}
