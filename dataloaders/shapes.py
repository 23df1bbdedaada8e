"""Discs, squares and triangles drawn from a seed: for first runs and tests, without a download."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from base.base_dataset import DATASETS, BaseDataset
from dataloaders.palettes import load_palette
from utils.sample import Entry, Sample

SPLIT_SEEDS = {"train": 0, "val": 1, "test": 2}


@DATASETS.register
class Shapes(BaseDataset):
    """Noisy images of 2 to 4 overlapping shapes, each of its own colour.

    A colour is a quarter random, the rest its class's, so that a network learns it in a minute or
    two. An image follows from the split and its index alone.

    Args:
        split: "train", "val" or "test".
        length: Number of images.
        size: Side of the square image in pixels, or (height, width).
        target: "semantic" for classes, "instance" for one id an object (0 background), or "both".
        void: Width in pixels of an ignored rim around every object; 0 for none.
        ignore_index: Label of the rim.
    Raises:
        ValueError: If length is below 1, a side below 16 or void negative.
    """

    classes, palette = load_palette("shapes")

    def __init__(
        self,
        split: Literal["train", "val", "test"] = "train",
        length: int = 256,
        size: int | tuple[int, int] = 96,
        target: Literal["semantic", "instance", "both"] = "semantic",
        void: int = 0,
        ignore_index: int = 255,
    ):
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        if void < 0:
            raise ValueError(f"void is {void}; give a width in pixels, from zero up")
        if length < 1 or min(self.size) < 16:
            raise ValueError(
                f"length is {length} and size {size}; at least 1 image of 16 pixels "
                "a side is needed"
            )
        self.length, self.void = length, void
        self.targets = ("semantic", "instance") if target == "both" else (target,)
        super().__init__(None, split, ignore_index)

    def list_entries(self) -> list[Entry]:
        return [Entry(f"{self.split}_{index:04d}") for index in range(self.length)]

    def read(self, entry: Entry) -> Sample:
        index = int(entry.name.rsplit("_", 1)[1])
        rng = np.random.default_rng((SPLIT_SEEDS[self.split], index))
        height, width = self.size
        low = cv2.resize(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), (width, height))
        image = low.astype(np.float32)
        semantic = np.zeros((height, width), np.int32)
        instance = np.zeros((height, width), np.int32)
        for number in range(1, rng.integers(2, 5) + 1):
            kind = int(rng.integers(1, 4))
            mask = draw(kind, height, width, rng)
            if self.void:
                kernel = np.ones((2 * self.void + 1, 2 * self.void + 1), np.uint8)
                rim = cv2.dilate(mask, kernel) > mask
                semantic[rim], instance[rim] = self.ignore_index, -1
            inside = mask > 0
            image[inside] = (rng.integers(0, 256, 3) + 3 * np.array(self.palette[kind])) / 4
            semantic[inside], instance[inside] = kind, number
        image += rng.normal(0, 12, image.shape)
        maps = {"semantic": semantic, "instance": instance}
        return Sample(
            entry.name,
            image.round().clip(0, 255).astype(np.uint8),
            {name: maps[name] for name in self.targets},
        )


def draw(kind: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Mask (height, width) of one shape at a random place, size and angle; kind is its class id."""
    radius = rng.uniform(0.15, 0.3) * min(height, width)
    centre = np.array([width, height]) * rng.uniform(0.1, 0.9, 2)
    mask = np.zeros((height, width), np.uint8)
    if kind == 1:
        cv2.circle(mask, centre.round().astype(int).tolist(), round(radius), 1, -1)
        return mask
    corners = {2: 4, 3: 3}[kind]
    angles = rng.uniform(0, 2 * np.pi) + np.arange(corners) * 2 * np.pi / corners
    points = centre + 1.2 * radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    cv2.fillPoly(mask, [points.round().astype(np.int32)], 1)
    return mask
