"""Label maps after a clustering: small pieces, connected parts, order."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor


def by_size(labels: Tensor) -> Tensor:
    """The objects of (H, W) renumbered from 1, the largest first, then in reading order."""
    flat = labels.flatten()
    values, flat, sizes = flat.unique(return_inverse=True, return_counts=True)
    places = torch.arange(len(flat), device=flat.device)
    first = places.new_full((len(values),), len(flat)).scatter_reduce(0, flat, places, "amin")
    rank = sizes * (len(flat) + 1) - first
    order = rank.masked_fill(values == 0, -len(flat)).argsort(descending=True)
    new = torch.empty_like(order)
    new[order] = torch.arange(1, len(order) + 1, device=order.device)
    return new.masked_fill(values == 0, 0)[flat].view_as(labels)


def without_small(
    labels: Tensor, min_size: int, small: Literal["nearest", "background"] = "nearest"
) -> Tensor:
    """The labels (H, W) without objects below `min_size` pixels.

    Their pixels take the label of the nearest pixel of another object, or 0.
    """
    sizes = labels.flatten().bincount()
    sizes[0] = max(min_size, 1)
    holes = (sizes < min_size)[labels]
    if not holes.any():
        return labels
    cleared = labels.masked_fill(holes, 0)
    return fill(cleared, holes) if small == "nearest" else cleared


def fill(labels: Tensor, holes: Tensor) -> Tensor:
    """Each pixel of `holes` takes the label of the nearest pixel of an object, if there is any.

    Args:
        labels: (H, W) int64, 0 in the holes and where there is no object.
        holes: (H, W) bool.
    """
    known = labels.cpu().numpy()
    if not known.any():
        return labels
    empty = (known == 0).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(nearest.max() + 1, np.int64)
    table[nearest[empty == 0]] = known[empty == 0]
    return torch.where(holes, torch.from_numpy(table[nearest]).to(labels.device), labels)


def components(labels: Tensor) -> Tensor:
    """The connected parts of every object, pixels that touch at a corner together, from 1."""
    maps = labels.cpu().numpy()
    parts = np.zeros(maps.shape, np.int64)
    count = 0
    for label in np.unique(maps[maps > 0]):
        mask = (maps == label).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        box = slice(top, top + height), slice(left, left + width)
        found, part = cv2.connectedComponents(mask[box], connectivity=8)
        parts[box] = np.where(part > 0, part + count, parts[box])
        count += found - 1
    return torch.from_numpy(parts).to(labels.device)
