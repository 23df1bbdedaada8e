"""Random pixels whose neighbourhoods in the embedding cover a region."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.losses.pieces import at_pixels

DRAWN = 512


@torch.no_grad()
def choose_anchors(
    views: tuple[Tensor, ...], region: Tensor, radius: float, most: int, uncovered: float
) -> tuple[Tensor, Tensor]:
    """Choose pixels at random, each outside the neighbourhoods of those before.

    What is covered is counted on 512 pixels drawn from the region; taking the first free one of
    them is the same as drawing from all free pixels. Random numbers are torch's, of the device.

    Args:
        views: Embeddings (B, E, P), each with neighbourhoods of its own; a pixel is covered if it
            is close in any of them.
        region: Pixels (B, P) bool to choose from.
        radius: Of a neighbourhood.
        most: Anchors of an image at most.
        uncovered: Share of the region that may be left.

    Returns:
        Pixels (B, most) int64, and which of them (B, most) are chosen.
    """
    total = region.sum(1, keepdim=True)
    random = torch.rand(len(region), DRAWN, dtype=torch.float64, device=region.device)
    rank = (random * total).long() + 1
    drawn = torch.searchsorted(region.cumsum(1), rank).clamp(max=region.shape[1] - 1)

    close = torch.eye(DRAWN, dtype=torch.bool, device=region.device)
    for view in views:
        points = at_pixels(view, drawn).mT
        points = points - points.mean(1, keepdim=True)  # so that differences keep their digits
        close = close | (torch.cdist(points, points) < radius)
    free = (total > 0).expand(-1, DRAWN)
    picks, chosen = [], []
    for _ in range(most):
        pick = free.to(torch.uint8).argmax(1, keepdim=True)  # the first
        wanted = free.sum(1, keepdim=True) > uncovered * DRAWN
        picks.append(pick)
        chosen.append(wanted)
        covered = close.gather(1, pick[:, None].expand(-1, -1, DRAWN))[:, 0]
        free = free & ~(covered & wanted)
    return drawn.gather(1, torch.cat(picks, 1)), torch.cat(chosen, 1)
