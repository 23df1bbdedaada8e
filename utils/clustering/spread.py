"""From a few labelled points of the embedding to every pixel."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.clustering.pieces import fill
from utils.clustering.windows import STRIDE

NEAR = 3  # windows, twice as many pixels: half of a blurred border
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


def count_near(
    places: Tensor, points: Tensor, radius: float, weights: Tensor | None = None
) -> Tensor:
    """How many points (N, E), or their weights (N,), lie within the radius of each place (M, E)."""
    found = []
    for rows in places.split(128):  # whose distances to a block stay in the processor's cache
        count = rows.new_zeros(len(rows))
        for start in range(0, len(points), 8192):
            near = torch.cdist(rows, points[start : start + 8192]) < radius
            if weights is None:
                count += near.sum(1)
            else:
                count += near.to(rows.dtype) @ weights[start : start + 8192].to(rows.dtype)
        found.append(count)
    return torch.cat(found)


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


def onto_image(
    owned: Tensor, foreground: Tensor, ground: Tensor, border: Literal["nearest", "background"]
) -> Tensor:
    """Owners of the foreground's pixels (P,) as labels (H, W).

    Between two objects lie pixels whose embedding is between those of the two: near to none, or by
    chance to a third object, which has no ground here.

    Args:
        owned: 0 for none.
        foreground: (H, W) bool.
        ground: Windows (h, w) bool on homogeneous ground.
        border: What such pixels take: the label of the nearest one in the image, or 0.
    """
    labels = torch.zeros_like(foreground, dtype=torch.int64)
    labels[foreground] = owned
    labels = labels.masked_fill(~has_ground_near(labels, ground), 0)
    if border == "background":
        return labels
    return fill(labels, foreground & (labels == 0))


def has_ground_near(labels: Tensor, ground: Tensor) -> Tensor:
    """Which pixels (H, W) have a window of their own object's ground within NEAR windows."""
    height, width = labels.shape
    cells = labels[::STRIDE, ::STRIDE] * ground
    cells = F.pad(cells, (NEAR, NEAR, NEAR, NEAR))
    found = torch.zeros_like(labels, dtype=torch.bool)
    for i in range(2 * NEAR + 1):
        for j in range(2 * NEAR + 1):
            shifted = cells[i : i + ground.shape[0], j : j + ground.shape[1]]
            full = shifted.repeat_interleave(STRIDE, 0).repeat_interleave(STRIDE, 1)
            found |= full[:height, :width] == labels
    return found
