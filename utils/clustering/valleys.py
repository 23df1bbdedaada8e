"""Which modes of a density are one hill: no valley parts them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

FAR = 3  # bandwidths: modes farther from each other are never one
STEPS = 8  # of the line between two modes


def join_modes(
    modes: Tensor, density: Callable[[Tensor], Tensor], radius: float, valley: float
) -> tuple[Tensor, Tensor]:
    """The hill of each mode (K,), from 1, and the top of each hill (L, E), its densest mode.

    From the densest down, each mode joins the denser one to which the line is highest, if the
    density along it nowhere falls below `valley` times the mode's own. Plateaus and slopes of a
    sampled density have many small modes; a true one is parted from the others by a valley.

    Args:
        modes: (K, E).
        density: Of places (M, E) as (M,).
        radius: Of the density's kernel, in units of the embedding.
        valley: 0 to 1.
    """
    own = density(modes)
    order = own.argsort(descending=True, stable=True)
    modes, own = modes[order], own[order]
    distances = torch.cdist(modes, modes).cpu()
    share = torch.arange(1, STEPS, device=modes.device)[:, None, None] / STEPS
    hill = torch.zeros(len(modes), dtype=torch.int64)
    tops: list[int] = []
    for mode in range(len(modes)):
        denser = (distances[mode, :mode] < FAR * radius).nonzero()[:, 0]
        if len(denser):
            ends = modes[denser.to(modes.device)]
            lines = modes[mode] + share * (ends - modes[mode])  # (S, J, E)
            heights = density(lines.flatten(0, 1)).view(lines.shape[:2])
            lowest, best = heights.min(0).values.max(0)
            if lowest >= valley * own[mode]:
                hill[mode] = hill[denser[best.cpu()]]
                continue
        tops.append(mode)
        hill[mode] = len(tops)
    found = torch.empty_like(hill)
    found[order.cpu()] = hill
    return found.to(modes.device), modes[tops]
