"""From a few labelled points of the embedding to every pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.clustering.pieces import fill

ENTRIES = 2**23  # of a distance matrix held at a time


def spread(
    embedding: Tensor, foreground: Tensor, points: Tensor, owners: Tensor, reach: float
) -> Tensor:
    """Label every pixel of the foreground, (H, W) int64.

    A pixel takes the owner of the nearest point. Pixels farther than `reach` from every point lie
    on borders, between two objects in the embedding as in the image, where a third one's point may
    be the nearest; they take the label of the nearest pixel of the image that is within reach.

    Args:
        embedding: (E, H, W).
        foreground: (H, W) bool.
        points: (N, E).
        owners: (N,) int64, from 1.
        reach: In units of the embedding.
    """
    if not len(points):
        return torch.zeros_like(foreground, dtype=torch.int64)
    distance, nearest = nearest_point(embedding.flatten(1), points)
    near = (distance < reach).view_as(foreground) & foreground
    if not near.any():
        near = foreground
    labels = owners[nearest].view_as(foreground) * near
    return fill(labels, foreground & ~near)


def nearest_point(pixels: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to the nearest of `points` (N, E), and its index, of `pixels` (E, P)."""
    squares = points.square().sum(1, keepdim=True)
    distances, indices = [], []
    for part in pixels.split(max(ENTRIES // len(points), 1), dim=1):
        least, index = torch.addmm(squares, points, part, alpha=-2).min(0)
        distances.append((least + part.square().sum(0)).clamp(min=0).sqrt())
        indices.append(index)
    return torch.cat(distances), torch.cat(indices)
