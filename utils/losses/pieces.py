"""Pixels in pieces: what is computed of one piece fits into a cache and is then let go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

NUMBERS = {"cpu": 2**19}  # of one piece; a GPU takes larger ones
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
    """A cost of the squared distances d2 (B, K, n) of a piece's pixels to centres, summed over
    pixels. d2 may be a rounding error below 0. What else it knows of the pixels it cuts to the
    piece itself."""

    def sums(self, d2: Tensor, piece: slice) -> Tensor:
        """(B, K, N). Leaves d2 as it is."""

    def slope(self, d2: Tensor, gradient: Tensor, piece: slice) -> Tensor:
        """Derivative (B, K, n) by d2 of the sum of `gradient` (B, K, N) times the sums, in memory
        of its own. Leaves d2 as it is."""


@dataclass
class Around:
    """A cost around some centres.

    Attributes:
        cost: Of squared distances.
        centres: (B, E, K); or the pixels (B, K) int64 that are the centres.
    """

    cost: Cost
    centres: Tensor


def sum_over_pixels(x: Tensor, costs: Sequence[Around]) -> list[Tensor]:
    """The sums (B, K, N) of each cost, all in one pass over the pixels, in the memory of a piece.

    Each piece is computed again for its gradient, so nothing of the size (K, P) is ever kept.
    Costs around the same tensor share their distances.

    Args:
        x: Embeddings (B, E, P).
        costs: What is summed.
    """
    if not costs:
        return []
    different = {id(each.centres): each.centres for each in costs}
    groups = [[each.cost for each in costs if id(each.centres) == key] for key in different]
    sums = iter(_SumOverPixels.apply(x, groups, *different.values()))
    found = {id(cost): next(sums) for group in groups for cost in group}
    return [found[id(each.cost)] for each in costs]


class _SumOverPixels(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, groups, *centres):
        ctx.groups = groups
        points = [at_pixels(x, c) if is_pixels(c) else c for c in centres]
        # small numbers lose fewer digits; in the distances themselves it cancels out
        origin = torch.cat(points, 2).mean(2, keepdim=True)
        ctx.save_for_backward(x, origin, *centres)
        planes = [distance_rows(p - origin) for p in points]
        totals = [[0.0] * len(group) for group in groups]
        for piece in pieces(x, row_count(x, points)):
            rows = pixel_rows(x[..., piece], origin)
            for total, group, plane in zip(totals, groups, planes, strict=True):
                d2 = plane @ rows
                for number, cost in enumerate(group):
                    total[number] = total[number] + cost.sums(d2, piece)
        return tuple(sums for total in totals for sums in total)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        x, origin, *centres = ctx.saved_tensors
        points = [(at_pixels(x, c) if is_pixels(c) else c) - origin for c in centres]
        planes = [distance_rows(p) for p in points]
        moments = [(torch.zeros_like(p.mT), torch.zeros_like(p[:, 0])) for p in points]
        to_x = torch.empty_like(x)
        for piece in pieces(x, row_count(x, points)):
            rows = pixel_rows(x[..., piece], origin)
            given, drift = iter(gradients), 0.0  # sums over centres of slope * (centre, ..., 1)
            for group, plane, (first, zeroth) in zip(ctx.groups, planes, moments, strict=True):
                d2 = plane @ rows
                slope = sum_in_place(cost.slope(d2, next(given), piece) for cost in group)
                first += slope @ rows[:, :-2].mT
                zeroth += slope.sum(2)
                drift = drift + plane.mT @ slope
            toward, total = drift[:, :-2], drift[:, -2:-1]  # of -2 centre, and of 1
            torch.mul(rows[:, :-2], total.mul_(2), out=to_x[..., piece]).add_(toward)
        to_centres = []
        for centre, point, (first, zeroth) in zip(centres, points, moments, strict=True):
            gradient = (point * zeroth[:, None] - first.mT).mul_(2)
            if is_pixels(centre):
                to_x.scatter_add_(2, centre[:, None].expand_as(gradient), gradient)
                gradient = None
            to_centres.append(gradient)
        return to_x, None, *to_centres


def is_pixels(centres: Tensor) -> bool:
    return not centres.is_floating_point()


def at_pixels(x: Tensor, pixels: Tensor) -> Tensor:
    """Embeddings (B, E, A) of pixels (B, A), of all (B, E, P)."""
    return x.gather(2, pixels[:, None].expand(-1, x.shape[1], -1))


def row_count(x: Tensor, points: list[Tensor]) -> int:
    """Numbers of a pixel, of the largest group, over all images."""
    return len(x) * max(x.shape[1], *(p.shape[2] for p in points))


def distance_rows(centres: Tensor) -> Tensor:
    """(B, K, E + 2), whose product with `pixel_rows` is squared distances: -2 c, 1, |c|^2."""
    c = centres.mT
    return torch.cat([-2 * c, torch.ones_like(c[..., :1]), c.square().sum(2, keepdim=True)], 2)


def pixel_rows(x: Tensor, origin: Tensor) -> Tensor:
    """(B, E + 2, n) of embeddings (B, E, n): x, |x|^2, 1, from the origin (B, E, 1)."""
    size = x.shape[1]
    rows = x.new_empty(len(x), size + 2, x.shape[2])
    torch.sub(x, origin, out=rows[:, :size])
    torch.sum(rows[:, :size].square(), 1, out=rows[:, size])
    rows[:, size + 1] = 1
    return rows


def square_distances(x: Tensor, centres: Tensor, origin: Tensor) -> Tensor:
    """Squared distance (B, K, n) of pixels (B, E, n) to centres (B, E, K), by a matrix product; may
    be a rounding error below 0."""
    return distance_rows(centres - origin) @ pixel_rows(x, origin)


def square_sum(x: Tensor) -> Tensor:
    """Sum (B, K) of the squares of x (B, K, n)."""
    return torch.linalg.vector_norm(x, dim=2).square_()


def sum_in_place(tensors: Iterator[Tensor]) -> Tensor:
    """Their sum, in the memory of the first."""
    total = next(tensors)
    for each in tensors:
        total += each
    return total
