"""Which modes of a density are one hill: no valley parts them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

FAR = 3  # bandwidths: modes farther from each other are not compared
NEIGHBOURS = 8  # denser modes that one is compared with, the nearest
WAY = (0.5, 0.125, 0.25, 0.375, 0.625, 0.75, 0.875)  # of the line between two; the middle first


def join_modes(
    modes: Tensor, density: Callable[[Tensor], Tensor], radius: float, saddle: float
) -> tuple[Tensor, Tensor]:
    """The hill of each mode (K,), from 1, and the top of each hill (L, E), its densest mode.

    From the densest down, each mode joins the denser one to which the line is highest, if the
    density along it nowhere falls below `saddle` times the mode's own, nor to nothing. Plateaus and
    slopes of a sampled density have many small modes; a true one is parted from the others by a
    valley.

    Args:
        modes: (K, E).
        density: Of places (M, E) as (M,).
        radius: Of the density's kernel, in units of the embedding.
        saddle: 0 to 1.
    """
    own = density(modes)
    order = own.argsort(descending=True, stable=True)
    modes, own = modes[order], own[order]
    one, other = neighbours(modes, FAR * radius)
    lowest = torch.full_like(own[one], torch.inf, dtype=torch.float32)
    for share in WAY:
        lowest = torch.minimum(lowest, density(torch.lerp(modes[one], modes[other], share)))
        kept = lowest >= (saddle * own[one]).clamp(min=1)
        one, other, lowest = one[kept], other[kept], lowest[kept]
    joined: dict[int, tuple[float, int]] = {}
    for mode, denser, height in zip(one.tolist(), other.tolist(), lowest.tolist(), strict=True):
        joined[mode] = max(joined.get(mode, (0.0, 0)), (height, denser), key=lambda pair: pair[0])
    hill, tops = torch.zeros(len(modes), dtype=torch.int64), []
    for mode in range(len(modes)):
        if mode in joined:
            hill[mode] = hill[joined[mode][1]]
        else:
            tops.append(mode)
            hill[mode] = len(tops)
    found = torch.empty_like(hill)
    found[order.cpu()] = hill
    return found.to(modes.device), modes[tops]


def neighbours(modes: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Pairs of modes (K, E), each with the nearest of those before it within reach: (P,), (P,)."""
    distances = torch.cdist(modes, modes)
    before = torch.ones_like(distances, dtype=torch.bool).tril(-1)
    distances = distances.masked_fill(~before, torch.inf)
    near, index = distances.topk(min(NEIGHBOURS, len(modes)), largest=False)
    one, place = (near < reach).nonzero(as_tuple=True)
    return one, index[one, place]
