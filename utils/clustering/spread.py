"""From a few labelled points of the embedding to every pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.clustering.pieces import fill

ENTRIES = 2**23  # of a distance matrix held at a time


def nearest_point(pixels: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to the nearest of `points` (N, E), and its index, of `pixels` (E, P)."""
    squares = points.square().sum(1, keepdim=True)
    distances, indices = [], []
    for part in pixels.split(max(ENTRIES // len(points), 1), dim=1):
        least, index = torch.addmm(squares, points, part, alpha=-2).min(0)
        distances.append((least + part.square().sum(0)).clamp(min=0).sqrt())
        indices.append(index)
    return torch.cat(distances), torch.cat(indices)


def owner_of(pixels: Tensor, points: Tensor, owners: Tensor, reach: float) -> Tensor:
    """The owner of the point nearest to each pixel, 0 where none is within reach; (P,).

    Args:
        pixels: (E, P).
        points: (N, E), one or more.
        owners: (N,) int64, from 1.
        reach: In units of the embedding.
    """
    distance, nearest = nearest_point(pixels, points)
    return owners[nearest].masked_fill(distance >= reach, 0)


def onto_image(owned: Tensor, foreground: Tensor) -> Tensor:
    """Owners of the foreground's pixels (P,) as labels (H, W); none of them stays 0.

    Pixels without an owner lie on borders: between two objects in the embedding as in the image,
    where a third one may be the nearest. They take the label of the nearest pixel of the image.
    """
    labels = torch.zeros_like(foreground, dtype=torch.int64)
    labels[foreground] = owned
    return fill(labels, foreground & (labels == 0))
