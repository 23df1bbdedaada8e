"""Pixels in pieces: what is computed of one piece fits into a cache and is then let go."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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


def sum_over_pixels(f: Callable[..., Tensor], x: Tensor, centres: Tensor, *maps: Tensor) -> Tensor:
    """The sum of f(x, centres, *maps) over pieces of the pixels, in the memory of one piece.

    Each piece is computed again for its gradient, so nothing of the size (K, P) is ever kept.

    Args:
        f: Gives, of a piece, sums over its pixels (B, K, ...).
        x: Embeddings (B, E, P).
        centres: (B, E, K).
        maps: What else is known of each pixel, (B, ..., P), without gradient.
    """
    return _SumOverPixels.apply(f, x, centres, *maps)


class _SumOverPixels(torch.autograd.Function):
    @staticmethod
    def forward(ctx, f, x, centres, *maps):
        ctx.f = f
        ctx.save_for_backward(x, centres, *maps)
        total = 0.0
        for piece in pieces(x, len(x) * max(centres.shape[-1], x.shape[1])):
            total = total + f(x[..., piece], centres, *(m[..., piece] for m in maps))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, centres, *maps = ctx.saved_tensors
        to_x, to_centres = torch.empty_like(x), torch.zeros_like(centres)
        for piece in pieces(x, len(x) * max(centres.shape[-1], x.shape[1])):
            with torch.enable_grad():
                part, moved = x[..., piece].detach(), centres.detach()
                part.requires_grad_(), moved.requires_grad_()
                value = ctx.f(part, moved, *(m[..., piece] for m in maps))
            to_x[..., piece], more = torch.autograd.grad(value, (part, moved), gradient)
            to_centres += more
        return None, to_x, to_centres, *(None for _ in maps)


def square_distances(x: Tensor, centres: Tensor) -> Tensor:
    """Squared distance (B, K, P) of pixels (B, E, P) to centres (B, E, K), by matrix products."""
    count = max(centres.shape[2], 1)
    origin = centres.detach().sum(2, keepdim=True) / count  # small numbers lose fewer digits
    x, centres = x - origin, centres - origin
    lengths = x.square().sum(1, keepdim=True) + centres.square().sum(1)[:, :, None]
    return torch.baddbmm(lengths, centres.mT, x, alpha=-2).clamp(min=0)
