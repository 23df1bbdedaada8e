"""Which clusters are objects, and which only the blurred border between two."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.clustering.spread import owner_of
from utils.clustering.windows import STRIDE

FIRM = 0.5  # share of a cluster's pixels on homogeneous ground from which it is an object
BORDER = 0.15  # and below which it is a border


def is_object(
    windows: Tensor, points: Tensor, owners: Tensor, owned: Tensor, reach: float
) -> Tensor:
    """Whether each owner is an object and no border, (K + 1,) bool; 0 is none.

    A border is wide in the embedding and narrow in the image: few of its pixels lie on homogeneous
    ground. It is told by less than BORDER of them, or less than FIRM of them where it lies between
    two firm clusters in the embedding.

    Args:
        windows: (M, E) means of homogeneous windows.
        points: (N, E).
        owners: (N,) int64, 1 to K, each at least once.
        owned: (P,) owners of the foreground's pixels, 0 for none.
        reach: In units of the embedding.
    """
    counts = owners.bincount()
    ground = owner_of(windows.T, points, owners, reach).bincount(minlength=len(counts))
    pixels = owned.bincount(minlength=len(counts))
    firmness = ground * STRIDE**2 / pixels.clamp(min=1)
    sums = points.new_zeros(len(counts), points.shape[1]).index_add_(0, owners, points)
    means = sums / counts.clamp(min=1)[:, None]
    firm = firmness >= FIRM
    firm[0] = False
    kept = firmness >= BORDER
    kept[0] = False
    doubtful = kept & ~firm
    kept[doubtful] = ~is_between(means[doubtful], means[firm], reach)
    return kept


def is_between(points: Tensor, ends: Tensor, tolerance: float) -> Tensor:
    """Which of `points` (N, E) lie within `tolerance` of a line between two of `ends` (K, E)."""
    found = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    for index, start in enumerate(ends):
        along = ends[index + 1 :] - start  # (L, E)
        away = points - start  # (N, E)
        length, ahead = along.square().sum(1), away @ along.T  # (L,), (N, L)
        share = (ahead / length).clamp(0, 1)
        off = away.square().sum(1, keepdim=True) - share * (2 * ahead - share * length)
        found |= (off < tolerance**2).any(1)
    return found
