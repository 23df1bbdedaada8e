"""Touching leaf-like ellipses of one class, drawn from a seed: instances without a download."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from base.base_dataset import DATASETS
from dataloaders.instance_dataset import InstanceDataset
from dataloaders.instance_labels import Target
from utils.sample import Entry, Sample

SPLIT_SEEDS = {"train": 0, "val": 1, "test": 2}
TRIES = 30
LEAST_SEEN = 0.5


@DATASETS.register
class ShapesInstances(InstanceDataset):
    """Noisy images of ellipses that touch and overlap, all of nearly one colour, on brown ground.

    Only outlines tell neighbours apart, and they are blurred: the colour is of no help. At least
    half of every ellipse is seen. An image follows from the split and its index alone.

    Args:
        split: "train", "val" or "test".
        length: Number of images.
        size: Side of the square image in pixels, or (height, width).
        count: Lowest and highest number of objects; fewer where no place is left.
        target: "instance" for one id an object (0 background), "semantic", or "both".
        instance_ratio: Share of the objects of each image whose ids are kept, above 0 and up to 1;
            the others become 0, unlabelled. The semantic target always shows them all.
        sample_seed: Which objects are kept follows from it and the image's name; those of a smaller
            instance_ratio are among those of a larger one.
        ignore_index: Semantic label that counts for nothing; no pixel of this data set has it.
    Raises:
        ValueError: If length is below 1, a side below 32, or count or a share out of range.
    """

    classes, palette = ["background", "leaf"], [[0, 0, 0], [110, 200, 80]]

    def __init__(
        self,
        split: Literal["train", "val", "test"] = "train",
        length: int = 256,
        size: int | tuple[int, int] = 128,
        count: tuple[int, int] = (5, 12),
        target: Target = "instance",
        instance_ratio: float = 1.0,
        sample_seed: int = 0,
        ignore_index: int = 255,
    ):
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.length, self.count = length, tuple(count)
        if length < 1 or min(self.size) < 32:
            raise ValueError(
                f"length is {length} and size {size}; at least 1 image of 32 pixels a side is "
                "needed"
            )
        if not 0 <= self.count[0] <= self.count[1]:
            raise ValueError(
                f"count is {list(count)}; give the lowest and the highest number, from zero up"
            )
        super().__init__(None, split, target, instance_ratio, sample_seed, ignore_index)

    def list_entries(self) -> list[Entry]:
        return [Entry(f"{self.split}_{index:04d}") for index in range(self.length)]

    def read(self, entry: Entry) -> Sample:
        index = int(entry.name.rsplit("_", 1)[1])
        rng = np.random.default_rng((SPLIT_SEEDS[self.split], index))
        number = int(rng.integers(self.count[0], self.count[1] + 1))
        ids, shading = place(number, self.size, rng)
        image = paint(ids, shading, rng)
        return Sample(entry.name, image, self.maps(ids, entry.name))


def place(
    number: int, size: tuple[int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Ids (H, W) int32 of ellipses, each new one beside one that is there, and their shading.

    The shading (H, W) float32 is 1 in an ellipse's middle and 0 at its rim.
    """
    ids, shading = np.zeros(size, np.int32), np.zeros(size, np.float32)
    areas, seen = np.zeros(number + 1), np.zeros(number + 1)
    centres: list[np.ndarray] = []
    scale = min(size) / np.sqrt(max(number, 4))
    for _ in range(number * TRIES):
        if len(centres) == number:
            break
        long = scale * rng.uniform(0.35, 0.55)
        axes = np.array([long, long * rng.uniform(0.45, 0.75)])
        centre = np.array([size[1], size[0]]) * rng.uniform(0.3, 0.7, 2)
        if centres:
            angle = rng.uniform(0, 2 * np.pi)
            step = long * rng.uniform(1.0, 1.5) * np.array([np.cos(angle), np.sin(angle)])
            centre = centres[rng.integers(len(centres))] + step
        height = dome(centre, axes, rng.uniform(0, np.pi), size)
        inside = height > 0
        below = seen - np.bincount(ids[inside], minlength=number + 1)
        whole = np.pi * axes.prod()
        if inside.sum() < LEAST_SEEN * whole or (below < LEAST_SEEN * areas)[1:].any():
            continue
        centres.append(centre)
        ids[inside], shading[inside] = len(centres), height[inside]
        areas[len(centres)] = inside.sum()
        seen = np.bincount(ids.ravel(), minlength=number + 1).astype(float)
    return ids, shading


def dome(centre: np.ndarray, axes: np.ndarray, angle: float, size: tuple[int, int]) -> np.ndarray:
    """(H, W) float32: 1 in the middle of an ellipse, 0 at its rim, below 0 outside."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    x, y = x - centre[0], y - centre[1]
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    return (1 - np.hypot(along / axes[0], across / axes[1])).astype(np.float32)


def paint(ids: np.ndarray, shading: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image (H, W, 3) uint8: ellipses with darker rims, blurred, with noise."""
    height, width = ids.shape
    ground = cv2.resize(rng.normal(0, 14, (8, 8)).astype(np.float32), (width, height))
    image = np.array([112, 88, 66], np.float32) + ground[:, :, None]
    tint = 1 + rng.normal(0, 0.05, int(ids.max()) + 1).astype(np.float32)
    light = tint[ids] * (0.6 + 0.4 * np.sqrt(np.clip(shading, 0, 1)))
    leaf = light[:, :, None] * np.array([104, 156, 74], np.float32)
    image = np.where(ids[:, :, None] > 0, leaf, image)
    image = cv2.GaussianBlur(image, (0, 0), 1.2) + rng.normal(0, 9, image.shape)
    return image.round().clip(0, 255).astype(np.uint8)
