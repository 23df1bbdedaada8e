"""Embeddings drawn from a seed, such as a trained network gives, and the score of a clustering.

Ellipses over each other on a background; each has a centre in the embedding, exactly 2.0 from one
other and no nearer to any. Borders are blurred, so that a pixel between two objects lies between
their centres; then noise is added.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

DISTANCE = 2.0  # between the nearest centres


def draw_map(
    seed: int,
    size: int = 448,
    channels: int = 16,
    objects: int = 20,
    blur: float = 1.5,
    noise: float | None = None,
) -> tuple[Tensor, np.ndarray]:
    """An embedding (1, E, H, W) and its objects (H, W), 0 where there is none.

    Args:
        seed: Decides everything.
        size: Height and width in pixels.
        channels: Of the embedding.
        objects: Ellipses drawn; those almost hidden by later ones are taken out.
        blur: Standard deviation of the borders, in pixels.
        noise: Standard deviation in each channel; between 0.05 and 0.08 where it is None.
    """
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0.05, 0.08) if noise is None else noise
    truth = draw_ellipses(rng, size, objects)
    centres = draw_centres(rng, objects + 1, channels)
    embedding = cv2.GaussianBlur(centres[truth], (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
    embedding = embedding.reshape(size, size, channels).transpose(2, 0, 1)
    embedding = embedding + rng.normal(0, noise, embedding.shape)
    return torch.from_numpy(embedding.astype(np.float32))[None], truth


def draw_ellipses(rng: np.random.Generator, size: int, objects: int) -> np.ndarray:
    truth = np.zeros((size, size), np.int32)
    for number in range(1, objects + 1):
        centre = rng.uniform(0.1, 0.9, 2) * size
        axes = rng.uniform(0.03, 0.12, 2) * size
        angle = float(rng.uniform(0, 180))
        place = tuple(map(int, centre)), tuple(map(int, axes)), angle
        cv2.ellipse(truth, *place, 0, 360, number, thickness=-1)
    visible = np.bincount(truth.ravel(), minlength=objects + 1)
    return np.where(visible[truth] < 0.002 * size**2, 0, truth)


def draw_centres(rng: np.random.Generator, count: int, channels: int) -> np.ndarray:
    """(count, E) float32: each at DISTANCE from an earlier one, no two nearer."""
    centres = [np.zeros(channels)]
    while len(centres) < count:
        step = rng.normal(size=channels)
        candidate = centres[rng.integers(len(centres))] + DISTANCE * step / np.linalg.norm(step)
        if min(np.linalg.norm(candidate - c) for c in centres) > DISTANCE - 1e-6:
            centres.append(candidate)
    return np.array(centres, np.float32)


def symmetric_best_dice(labels: np.ndarray, truth: np.ndarray) -> float:
    """SBD of the CVPPP challenge: the lower of both mean best Dices, 0 is no object."""
    rows, columns = labels.max() + 1, truth.max() + 1
    shared = np.bincount((labels.ravel() * columns + truth.ravel()), minlength=rows * columns)
    shared = shared.reshape(rows, columns)
    sizes = shared.sum(1)[1:, None], shared.sum(0)[None, 1:]
    there = sizes[0] > 0, sizes[1] > 0
    if not (there[0].any() and there[1].any()):
        return float(not (there[0].any() or there[1].any()))
    dice = 2 * shared[1:, 1:] / np.maximum(sizes[0] + sizes[1], 1)
    found, true = dice.max(1)[there[0][:, 0]], dice.max(0)[there[1][0]]
    return float(min(found.mean(), true.mean()))
