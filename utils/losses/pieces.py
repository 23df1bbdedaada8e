"""Pixels in pieces: what is computed of one piece fits into a cache and is then let go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

NUMBERS = {"cpu": 2**18}  # of one piece; a GPU takes larger ones
MANY = 2**25


def pieces(x: Tensor, rows: int, least: int = 1) -> Iterator[slice]:
    """Slices over the last axis of x (B, E, P).

    Args:
        x: What is cut.
        rows: Numbers that are computed of a pixel, over all images.
        least: Fewest pixels in a slice.
    """
    step = max(NUMBERS.get(x.device.type, MANY) // max(rows, 1), least)
    return (slice(start, start + step) for start in range(0, x.shape[-1], step))


class Cost(Protocol):
    """A cost of the squared distances d2 (B, K, P) of pixels to centres, summed over pixels."""

    def sums(self, d2: Tensor, *maps: Tensor) -> Tensor:
        """(B, K, N). May write over d2."""

    def slope(self, d2: Tensor, gradient: Tensor, *maps: Tensor) -> Tensor:
        """Derivative (B, K, P) by d2 of the sum of `gradient` (B, K, N) times the sums."""


def sum_over_pixels(cost: Cost, x: Tensor, centres: Tensor, *maps: Tensor) -> Tensor:
    """The sums (B, K, N) of a cost, in the memory of one piece.

    Each piece is computed again for its gradient, so nothing of the size (K, P) is ever kept.

    Args:
        cost: Of squared distances.
        x: Embeddings (B, E, P).
        centres: (B, E, K).
        maps: What else is known of each pixel, (B, ..., P), without gradient.
    """
    # small numbers lose fewer digits; in the distances themselves it cancels out
    origin = centres.detach().sum(2, keepdim=True) / max(centres.shape[2], 1)
    return _SumOverPixels.apply(cost, x, centres, origin, *maps)


class _SumOverPixels(torch.autograd.Function):
    @staticmethod
    def forward(ctx, cost, x, centres, origin, *maps):
        ctx.cost = cost
        ctx.save_for_backward(x, centres, origin, *maps)
        centres = centres - origin
        total = 0.0
        for piece in pieces(x, len(x) * max(centres.shape[2], x.shape[1])):
            d2 = square_distances(x[..., piece] - origin, centres)
            total = total + cost.sums(d2, *(m[..., piece] for m in maps))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, centres, origin, *maps = ctx.saved_tensors
        centres = centres - origin
        to_x, to_centres = torch.empty_like(x), torch.zeros_like(centres)
        for piece in pieces(x, len(x) * max(centres.shape[2], x.shape[1])):
            part = x[..., piece] - origin
            d2 = square_distances(part, centres)
            slope = ctx.cost.slope(d2, gradient, *(m[..., piece] for m in maps))
            to_centres += centres * slope.sum(2)[:, None] - part @ slope.mT
            to_x[..., piece] = part.mul_(slope.sum(1, keepdim=True)).sub_(centres @ slope).mul_(2)
        return None, to_x, to_centres.mul_(2), None, *(None for _ in maps)


def square_distances(x: Tensor, centres: Tensor) -> Tensor:
    """Squared distance (B, K, P) of pixels (B, E, P) to centres (B, E, K), by matrix products."""
    lengths = x.square().sum(1, keepdim=True) + centres.square().sum(1)[:, :, None]
    return torch.baddbmm(lengths, centres.mT, x, alpha=-2).clamp_(min=0)
