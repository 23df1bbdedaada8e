"""What keeps embeddings apart: means from each other, pixels of no instance from every mean."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.losses.pieces import Around, square_sum, sum_over_pixels


def push_means(means: Tensor, pairs: Tensor, margin: float, norm: int = 2) -> Tensor:
    """The mean over an image's ordered pairs of max(0, margin - ||a - b||)^2, then over images.

    Args:
        means: (B, E, K).
        pairs: Which pairs count (B, K, K) bool; none of an instance with itself ever does.
        margin: Distance from which on a pair costs nothing.
        norm: 1 or 2, the norm of the distance.
    """
    pairs = pairs & ~torch.eye(means.shape[2], dtype=torch.bool, device=means.device)
    distance = torch.cdist(means.mT, means.mT, norm, "donot_use_mm_for_euclid_dist")
    cost = (margin - distance).relu().square() * pairs
    return (cost.sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)).mean()


def push_pixels(x: Tensor, means: Tensor, pushed: Tensor, margin: float) -> Tensor:
    """For each mean (B, K), the mean over the pushed pixels of max(0, margin - ||x - mean||)^2.

    Args:
        x: Embeddings (B, E, P).
        means: (B, E, K).
        pushed: Which pixels (B, P) bool.
        margin: Distance from which on a pixel costs nothing.
    """
    near = Nearness(margin, pushed)
    return near.mean(*sum_over_pixels(x, [Around(near, means)]))


class Nearness:
    """The cost max(0, margin - d)^2 of the pushed pixels; one upon a mean is pushed nowhere.

    Args:
        margin: Distance from which on a pixel costs nothing.
        pushed: Which pixels (B, P) bool.
    """

    def __init__(self, margin: float, pushed: Tensor):
        self.margin, self.pushed = margin, pushed
        self.weight = pushed[:, None].float()  # a product with booleans is slow

    def sums(self, d2: Tensor, piece: slice) -> Tensor:
        near = (self.margin - d2.clamp(min=0).sqrt_()).relu_()
        return square_sum(near.mul_(self.weight[..., piece]))[..., None]

    def slope(self, d2: Tensor, gradient: Tensor, piece: slice) -> Tensor:
        inverse = d2.clamp(min=1e-12).rsqrt_()
        # (margin - d) / d, by products
        steep = inverse.sub_(1 / self.margin).relu_().mul_(self.weight[..., piece])
        return steep.mul_(-self.margin * gradient)

    def mean(self, sums: Tensor) -> Tensor:
        """(B, K), over the pushed pixels."""
        return sums[..., 0] / self.pushed.sum(1, keepdim=True).clamp(min=1)
