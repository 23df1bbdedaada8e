"""What keeps embeddings apart: means from each other, pixels of no instance from every mean."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.losses.pieces import sum_over_pixels


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
    sums = sum_over_pixels(Nearness(margin), x, means, pushed)[..., 0]
    return sums / pushed.sum(1, keepdim=True).clamp(min=1)


@dataclass
class Nearness:
    """max(0, margin - d)^2 of the pushed pixels; one upon a mean is pushed nowhere."""

    margin: float

    def sums(self, d2: Tensor, pushed: Tensor) -> Tensor:
        near = self.margin - d2.sqrt_()
        return near.relu_().square_().mul_(pushed[:, None]).sum(2)[..., None]

    def slope(self, d2: Tensor, gradient: Tensor, pushed: Tensor) -> Tensor:
        distance = d2.sqrt_()
        steep = (self.margin - distance).relu_().mul_(pushed[:, None])
        return steep.div_(distance.clamp_(min=1e-6)).mul_(-gradient)
