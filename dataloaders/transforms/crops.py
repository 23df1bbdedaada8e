"""Steps that choose the part of an image that a network sees."""

from __future__ import annotations

import math

import numpy as np

from base.base_transform import TRANSFORMS
from dataloaders.transforms.geometry import (
    Geometry,
    RandomHorizontalFlip,
    RandomRotation,
    RandomScale,
    bounds,
    chain,
    pair_of,
)
from dataloaders.transforms.warp import Size, shift, stretch


def limit_of(rare_class_crops: bool | float) -> float:
    """The largest share of a class that the flag stands for; 0 for any.

    Raises:
        ValueError: If it is not in 0 to 1.
    """
    limit = 0.75 if rare_class_crops is True else float(rare_class_crops)
    if not 0 <= limit <= 1:
        raise ValueError(f"rare_class_crops is {limit}; a share goes from 0 to 1")
    return limit


@TRANSFORMS.register
class RandomCrop(Geometry):
    """A window at a random place; where the image is smaller, it lies in padding that is ignored.

    Args:
        size: Side of the square window in pixels, or (height, width).
        rare_class_crops: Draw again, up to ten times, where one class fills more than 0.75 of the
            labelled pixels, or more than the share given; a grid of 32x32 points is looked at.
    Raises:
        ValueError: If a side is below 1 or the share not in 0 to 1.
    """

    def __init__(self, size: int | tuple[int, int], rare_class_crops: bool | float = False):
        self.size, self.rare_class_crops = pair_of(size), limit_of(rare_class_crops)

    def draw(self, size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        return window(size, self.size, *rng.random(2)), self.size


@TRANSFORMS.register
class CenterCrop(Geometry):
    """The window in the middle; where the image is smaller, it lies in padding that is ignored.

    Args:
        size: Side of the square window in pixels, or (height, width).
    Raises:
        ValueError: If a side is below 1.
    """

    def __init__(self, size: int | tuple[int, int]):
        self.size = pair_of(size)

    def draw(self, size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        return window(size, self.size, 0.5, 0.5), self.size


@TRANSFORMS.register
class RandomResizedCrop(Geometry):
    """A window of random area and shape, resized to a fixed size.

    As torchvision's, but that the shape is drawn from those that fit into the image and not by
    trial. Above the image's own area the window reaches over its edge, and that is ignored.

    Args:
        size: Side of the square result in pixels, or (height, width).
        scale: Lowest and highest area of the window, as a share of the image's.
        ratio: Lowest and highest width / height of the window.
        rare_class_crops: Draw again, up to ten times, where one class fills more than 0.75 of the
            labelled pixels, or more than the share given; a grid of 32x32 points is looked at.
    Raises:
        ValueError: If a size, share or ratio is out of range.
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        rare_class_crops: bool | float = False,
    ):
        self.size, self.rare_class_crops = pair_of(size), limit_of(rare_class_crops)
        self.scale, self.ratio = bounds("scale", scale), bounds("ratio", ratio)

    def draw(self, size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        height, width = size
        area = height * width * rng.uniform(*self.scale)
        shapes = np.array(self.ratio)
        if area <= height * width:
            shapes = shapes.clip(area / height**2, width**2 / area)
        ratio = math.exp(rng.uniform(*np.log(shapes)))
        part = max(round(math.sqrt(area / ratio)), 1), max(round(math.sqrt(area * ratio)), 1)
        zoom = stretch(self.size[1] / part[1], self.size[0] / part[0])
        return zoom @ window(size, part, *rng.random(2)), self.size


@TRANSFORMS.register
class Warp(Geometry):
    """Scale, rotation, mirroring and crop in one step: the usual recipe.

    The image is sampled bilinearly, labels by nearest neighbour; outside the image lies the border
    colour and the ignored label. What shrinks to an eighth or less is first reduced by area
    averaging, which a warp cannot do.

    Args:
        base_size: Long side before random scaling, in pixels; the image's own without it.
        crop_size: Side of the square result in pixels, or (height, width); the size of the scaled
            image without it.
        scale: Lowest and highest random factor, drawn evenly.
        rotate: Largest angle either way, in degrees.
        flip: Mirror left to right half of the time.
        center: Take the crop from the middle and not from a random place.
        rare_class_crops: Draw again, up to ten times, where one class fills more than 0.75 of the
            labelled pixels, or more than the share given; a grid of 32x32 points is looked at.
    Raises:
        ValueError: If a size or factor is not above zero, or the share not in 0 to 1.
    """

    def __init__(
        self,
        base_size: int | None = None,
        crop_size: int | tuple[int, int] | None = None,
        scale: tuple[float, float] = (1.0, 1.0),
        rotate: float = 0.0,
        flip: bool = False,
        center: bool = False,
        rare_class_crops: bool | float = False,
    ):
        self.rare_class_crops = limit_of(rare_class_crops)
        if rotate < 0:
            raise ValueError(f"rotate is {rotate}; give the largest angle, from zero up")
        crop = CenterCrop if center else RandomCrop
        self.steps: list[Geometry] = [
            RandomScale(scale, base_size),
            RandomRotation(rotate),
            RandomHorizontalFlip(0.5 if flip else 0.0),
            *([] if crop_size is None else [crop(pair_of(crop_size, "crop_size"))]),
        ]

    def draw(self, size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        return chain(self.steps, size, rng)


def window(size: Size, part: Size, across: float, down: float) -> np.ndarray:
    """The map into a window of a frame, 0 at its left or top edge to 1 at its right or bottom."""
    return shift(-round(across * (size[1] - part[1])), -round(down * (size[0] - part[0])))
