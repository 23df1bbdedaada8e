"""Homogeneous ground: means of small windows of an embedding that no border runs through."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STRIDE = 2  # windows of 3x3 pixels, a centre at every second pixel: each stands for four
STEEP = 0.5  # of the bandwidth a pixel: a steeper embedding is a border's


def homogeneous_windows(
    embedding: Tensor, foreground: Tensor, bandwidth: float
) -> tuple[Tensor, Tensor]:
    """Windows that no border runs through: means (N, E), and which of all they are (h, w) bool.

    There the embedding changes by less than STEEP bandwidths a pixel. The mean has a third of a
    pixel's noise. The change is the slope of the plane that fits the window best (Prewitt's
    filter), so noise of each pixel for itself hardly raises it. Pixels outside the foreground count
    for nothing; a window's centre lies inside. Where the whole foreground is steep, the flattest
    quarter of its windows is taken.

    Args:
        embedding: (E, H, W).
        foreground: (H, W) bool.
        bandwidth: Size of a cluster in units of the embedding.
    """
    inside = F.pad(foreground, (1, 1, 1, 1)).to(embedding.dtype)
    padded = F.pad(embedding * foreground, (1, 1, 1, 1))
    e = _shifted(padded)
    m = _shifted(inside)
    weight = sum(sum(row) for row in m).clamp(min=1)
    mean = sum(sum(row) for row in e) / weight
    across = sum((e[i][2] - e[i][0]) * (m[i][2] * m[i][0]) for i in range(3))
    down = sum((e[2][j] - e[0][j]) * (m[2][j] * m[0][j]) for j in range(3))
    pairs_across = sum(m[i][2] * m[i][0] for i in range(3)).clamp(min=1)
    pairs_down = sum(m[2][j] * m[0][j] for j in range(3)).clamp(min=1)
    slope = (across.norm(dim=0) / pairs_across).square() + (down.norm(dim=0) / pairs_down).square()
    centres = m[1][1] > 0
    slope = slope.sqrt()[centres] / 2  # of two pixels to one
    points = mean[:, centres].T
    flat = slope < STEEP * bandwidth
    if not flat.any():
        flat = slope <= slope.quantile(0.25) if len(slope) else flat
    ground = torch.zeros_like(centres)
    ground[centres] = flat
    return points[flat].contiguous(), ground


def _shifted(padded: Tensor) -> list[list[Tensor]]:
    """The nine pixels of every window: [row][column] of views (..., h, w)."""
    height, width = padded.shape[-2] - 2, padded.shape[-1] - 2
    return [
        [padded[..., i : i + height : STRIDE, j : j + width : STRIDE] for j in range(3)]
        for i in range(3)
    ]
