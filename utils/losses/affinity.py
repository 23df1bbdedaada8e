"""Boundaries between instances, seen in pairs of pixels at random offsets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from utils.losses.instances import mean_over_instances
from utils.losses.soft_masks import Dice, overlap_sums

OFFSETS, REACH = 9, 18


def affinity_cost(x: Tensor, index: Tensor, known: Tensor, counted: Tensor, far: float) -> Tensor:
    """Dice of how unlike two pixels are against whether they are of two instances.

    Nine offsets a call, of 1 to 18 pixels down and right, drawn from torch's random numbers; unlike
    is 1 - (max(0, far - ||x_i - x_j||) / far)^2. A pair counts where both pixels do and one of them
    is of an instance; an offset without any pair of two instances is left out.

    Args:
        x: Embeddings (B, E, H, W).
        index: Instance of each pixel (B, H, W).
        known: Pixels (B, H, W) bool of an instance.
        counted: Pixels (B, H, W) bool that count.
        far: Distance from which on two pixels are wholly unlike.
    """
    shifts = torch.randint(1, REACH + 1, (OFFSETS, 2), device=x.device).tolist()
    sums = [
        # computed again for its gradient, so that one offset's maps are held at a time
        checkpoint(
            pair_sums, x, index, known, counted, far, *shift,
            use_reentrant=False, preserve_rng_state=False,
        )
        for shift in shifts
    ]  # fmt: skip
    sums = torch.stack(sums, dim=1)
    return mean_over_instances(Dice.of_sums(sums), sums[..., 2] > 0)


def pair_sums(
    x: Tensor, index: Tensor, known: Tensor, counted: Tensor, far: float, down: int, right: int
) -> Tensor:
    """Sums (B, 3) of one offset, as `overlap_sums` gives them."""

    def pair(map: Tensor) -> tuple[Tensor, Tensor]:
        height, width = map.shape[-2:]
        return (
            map[..., : max(height - down, 0), : max(width - right, 0)],
            map[..., down:, right:],
        )

    a, b = pair(x)
    distance = (a - b).square().sum(1).clamp(min=1e-12).sqrt()
    like = ((far - distance).relu() / far).square()
    (index_a, index_b), (known_a, known_b), (a, b) = pair(index), pair(known), pair(counted)
    counts = a & b & (known_a | known_b)
    unlike = ((1 - like) * counts).flatten(1)
    differ = ((index_a != index_b) & counts).flatten(1).to(x.dtype)
    return overlap_sums(unlike[:, None], differ[:, None])[:, 0]
