"""The mean embedding of every instance, and how far its pixels are from it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from utils.losses.instances import Instances
from utils.losses.pieces import pieces

LANES = 16  # partial sums of an instance: neighbours, often of one instance, add to different ones


def means_and_pull(
    x: Tensor, instances: Instances, delta_var: float, norm: int = 2
) -> tuple[Tensor, Tensor]:
    """Means, and the mean over each instance of max(0, ||x - its mean|| - delta_var)^2.

    Two passes over the pixels, and one for the gradient. Beside the gradient itself, memory is one
    number a pixel, however many instances there are.

    Args:
        x: Embeddings (B, E, P).
        instances: Of the same pixels.
        delta_var: Distance that costs nothing.
        norm: 1 or 2, the norm of the distance.

    Returns:
        Means (B, E, K) and pull (B, K), both 0 for instances that are not there.
    """
    return _MeansAndPull.apply(x, instances.index, instances.size, delta_var, norm)


class _MeansAndPull(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, index, size, delta_var, norm):
        most = size.shape[1]
        index = index[:, None]  # (B, 1, P)
        size = size[:, None].clamp(min=1)  # (B, 1, K)
        sums = torch.zeros(*x.shape[:2], most, dtype=torch.float64, device=x.device)
        for piece in pieces(x, x[..., 0].numel(), 4 * most):
            sums += sum_by_instance(x[..., piece], lanes(index[..., piece], most), most)
        means = (sums / size).to(x.dtype)

        pull = torch.zeros_like(sums[:, :1])
        flow = torch.zeros_like(sums)  # of each instance, the sum over its pixels of d pull / d x
        slope = torch.empty_like(x[:, :1])  # |d pull / d x|, divided by the distance if norm is 2
        for piece in pieces(x, x[..., 0].numel(), 4 * most):
            inside = index[..., piece]
            away = x[..., piece] - of_pixels(means, inside)
            distance = (away.abs() if norm == 1 else away.square()).sum(1, keepdim=True)
            if norm == 2:
                distance.sqrt_()
            excess = (distance - delta_var).relu_().masked_fill_(inside == most, 0)
            steep = 2 * excess if norm == 1 else 2 * excess / distance.clamp_(min=1e-12)
            slope[..., piece] = steep
            slots = lanes(inside, most)
            pull += sum_by_instance(excess.square_(), slots, most)
            flow += sum_by_instance(direction(away, norm).mul_(steep), slots, most)
        ctx.norm = norm
        ctx.save_for_backward(x, index, size, means, slope, flow)
        return means, (pull / size)[:, 0].to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, to_means, to_pull):
        x, index, size, means, slope, flow = ctx.saved_tensors
        scale = to_pull[:, None] / size
        shift = ((to_means - scale * flow) / size).to(x.dtype)
        gradient = torch.empty_like(x)
        for piece in pieces(x, x[..., 0].numel()):
            inside = index[..., piece]
            away = torch.sub(x[..., piece], of_pixels(means, inside), out=gradient[..., piece])
            direction(away, ctx.norm).mul_(slope[..., piece] * of_pixels(scale, inside))
            away += of_pixels(shift, inside)
        return gradient, None, None, None, None


def direction(away: Tensor, norm: int) -> Tensor:
    """In place, the gradient of the norm, for norm 2 times the norm."""
    return away.sign_() if norm == 1 else away


def of_pixels(table: Tensor, index: Tensor) -> Tensor:
    """For each pixel (B, 1, P) its instance's entries of the table (B, E, K); 0 for no instance."""
    table = torch.nn.functional.pad(table, (0, 1))
    return table.gather(2, index.expand(-1, table.shape[1], -1))


def lanes(index: Tensor, most: int) -> Tensor:
    """Places (B, 1, P) in a table of partial sums, LANES an instance, for instances (B, 1, P)."""
    count = lane_count(index, most)
    return index * count + torch.arange(index.shape[-1], device=index.device) % count


def lane_count(index: Tensor, most: int) -> int:
    return max(1, min(LANES, index.shape[-1] // (most + 1)))


def sum_by_instance(values: Tensor, slots: Tensor, most: int) -> Tensor:
    """Sums (B, E, K) over each instance's pixels of values (B, E, P), slots (B, 1, P)."""
    count = lane_count(slots, most)
    sums = values.new_zeros(*values.shape[:2], (most + 1) * count)
    sums.scatter_add_(2, slots.expand_as(values), values)
    return sums.unflatten(2, (most + 1, count)).sum(3)[..., :most]
