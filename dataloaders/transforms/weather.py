"""Fog, rain, snow, shadow and sun, drawn over images of any number of channels.

The kinds are those that the Cityscapes and KITTI project takes from albumentations; they are drawn
more simply here.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from base.base_transform import TRANSFORMS, BaseTransform
from dataloaders.transforms.geometry import bounds
from utils.sample import Sample


def cover(image: np.ndarray, grey: float, mask: np.ndarray) -> np.ndarray:
    """Mix a grey, 0 to 1 of full scale, into an image by a mask (H, W) of 0 to 1."""
    full = np.iinfo(image.dtype).max
    values = image.astype(np.float32)
    values += (np.float32(grey * full) - values) * mask.astype(np.float32)[:, :, None]
    return values.round().clip(0, full).astype(image.dtype)


def strength(name: str, pair: tuple[float, float]) -> tuple[float, float]:
    """The pair itself.

    Raises:
        ValueError: If it falls or leaves 0 to 1.
    """
    low, high = pair
    if not 0 <= low <= high <= 1:
        raise ValueError(f"{name} is {[low, high]}; give the lowest and highest, 0 to 1")
    return low, high


@TRANSFORMS.register
class Fog(BaseTransform):
    """Light grey over the image, thicker in places.

    Args:
        density: Lowest and highest share of the fog in a pixel's value where it is thickest.
    Raises:
        ValueError: If a density is not in 0 to 1.
    """

    def __init__(self, density: tuple[float, float] = (0.1, 0.3)):
        self.density = strength("density", density)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        clouds = cv2.resize(rng.random((3, 4), dtype=np.float32), (width, height))
        mask = rng.uniform(*self.density) * (0.5 + 0.5 * clouds)
        sample.image = cover(sample.image, 0.9, mask)
        return sample


@TRANSFORMS.register
class Rain(BaseTransform):
    """Streaks of rain under a darker sky.

    Args:
        drops: Lowest and highest number of streaks per 10,000 pixels.
        slant: Largest angle of the streaks from upright, either way, in degrees.
        length: Length of a streak, as a share of the image's height.
    Raises:
        ValueError: If drops is negative or falls, slant is not in 0 to 80, or length not above 0.
    """

    def __init__(
        self, drops: tuple[float, float] = (5.0, 15.0), slant: float = 20.0, length: float = 0.05
    ):
        if not (0 <= drops[0] <= drops[1] and 0 <= slant <= 80 and length > 0):
            raise ValueError(
                f"drops is {list(drops)}, slant {slant} and length {length}; give drops from 0 "
                "up, a slant of 0 to 80 degrees and a length above 0"
            )
        self.drops, self.slant, self.length = drops, slant, length

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        count = round(rng.uniform(*self.drops) * height * width / 10_000)
        angle = math.radians(rng.uniform(-self.slant, self.slant))
        fall = self.length * height * np.array([math.sin(angle), math.cos(angle)])
        starts = rng.random((count, 2)) * [width, height]
        streaks = np.stack([starts, starts + fall], axis=1).round().astype(np.int32)
        mask = np.zeros((height, width), np.uint8)
        cv2.polylines(mask, list(streaks), False, 255)
        mask = cv2.GaussianBlur(mask, (3, 3), 0) / np.float32(255)
        sample.image = cover(cover(sample.image, 0.0, np.full_like(mask, 0.15)), 0.8, 0.7 * mask)
        return sample


@TRANSFORMS.register
class Snow(BaseTransform):
    """Snow that lies: pixels up to a random lightness are mixed with white, in proportion.

    Lightness is the mean of a pixel's channels. The ground of a street is dark and turns white;
    what is light, as the sky, stays.

    Args:
        amount: Lowest and highest draw of the lightness below which it snows: 0 stands for a third
            of full scale, 1 for five sixths.
        brightness: Factor on the lightness of such a pixel.
    Raises:
        ValueError: If amount is not in 0 to 1, or brightness below 1.
    """

    def __init__(self, amount: tuple[float, float] = (0.1, 0.3), brightness: float = 2.5):
        if brightness < 1:
            raise ValueError(f"brightness is {brightness}; snow brightens, give 1 or more")
        self.amount, self.brightness = strength("amount", amount), brightness

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        light = sample.image.mean(axis=2) / np.iinfo(sample.image.dtype).max
        below = light < 1 / 3 + rng.uniform(*self.amount) / 2
        white = (light * self.brightness).clip(max=1) - light
        sample.image = cover(sample.image, 1.0, np.where(below, white / (1 - light + 1e-6), 0))
        return sample


@TRANSFORMS.register
class Shadow(BaseTransform):
    """A dark polygon over the lower half of the image.

    Args:
        darkness: Lowest and highest share of the light that the shadow takes.
    Raises:
        ValueError: If a share is not in 0 to 1.
    """

    def __init__(self, darkness: tuple[float, float] = (0.3, 0.6)):
        self.darkness = strength("darkness", darkness)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        corners = (rng.random((5, 2)) * [width, height / 2] + [0, height / 2]).round()
        mask = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(corners.astype(np.int32)), 1)
        sample.image = cover(sample.image, 0.0, rng.uniform(*self.darkness) * mask)
        return sample


@TRANSFORMS.register
class SunFlare(BaseTransform):
    """A glare in the upper half of the image, fading outwards.

    Args:
        radius: Lowest and highest reach of the glare, as a share of the image's height.
    Raises:
        ValueError: If a radius is not above zero.
    """

    def __init__(self, radius: tuple[float, float] = (0.3, 0.8)):
        self.radius = bounds("radius", radius)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        column, row = rng.random(2) * [width, height / 2]
        reach = rng.uniform(*self.radius) * height
        distance = np.hypot(*np.ogrid[-row : height - row, -column : width - column])
        fade = (1 - distance[:height, :width] / reach).clip(0, 1)
        sample.image = cover(sample.image, 1.0, fade**2)
        return sample
