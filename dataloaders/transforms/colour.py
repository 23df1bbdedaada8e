"""Changes of the colours, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from base.base_transform import TRANSFORMS, BaseTransform
from dataloaders.transforms.geometry import bounds, share
from dataloaders.transforms.warp import with_axis
from utils.errors import UserError
from utils.sample import Sample

LUMA = np.float32([0.299, 0.587, 0.114])  # ITU-R BT.601, as torchvision and OpenCV have it


def pointwise(image: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Every value v, 0 to 1 of full scale, replaced by change(v), rounded and clipped."""
    full = np.iinfo(image.dtype).max
    values = change(np.arange(full + 1, dtype=np.float64) / full)
    table = (values * full).round().clip(0, full).astype(image.dtype)
    return with_axis(cv2.LUT(image, table)) if image.dtype == np.uint8 else table[image]


def require_rgb(image: np.ndarray, transform: BaseTransform) -> None:
    if image.shape[2] != 3:
        raise UserError(
            f"{type(transform).__name__} needs images of 3 channels (RGB), not {image.shape[2]}; "
            "take it out of transforms"
        )


def mixed(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Each pixel's channels multiplied by a matrix, rounded and clipped."""
    return cv2.transform(image, matrix.astype(np.float32))


@TRANSFORMS.register
class BrightnessContrast(BaseTransform):
    """Random contrast about the middle grey, and random brightness.

    Args:
        brightness: Largest shift either way, as a share of full scale.
        contrast: Largest change of the factor 1 either way.
    Raises:
        ValueError: If one of them is not in 0 to 1.
    """

    def __init__(self, brightness: float = 0.1, contrast: float = 0.3):
        if not (0 <= brightness <= 1 and 0 <= contrast <= 1):
            raise ValueError(
                f"brightness is {brightness} and contrast {contrast}; they go from 0 to 1"
            )
        self.brightness, self.contrast = brightness, contrast

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        factor = 1 + rng.uniform(-self.contrast, self.contrast)
        shift = rng.uniform(-self.brightness, self.brightness)
        sample.image = pointwise(sample.image, lambda v: (v - 0.5) * factor + 0.5 + shift)
        return sample


@TRANSFORMS.register
class Gamma(BaseTransform):
    """Raise every value, 0 to 1 of full scale, to a random power.

    Args:
        gamma: Lowest and highest power; above 1 darkens.
    Raises:
        ValueError: If a power is not above zero.
    """

    def __init__(self, gamma: tuple[float, float] = (0.8, 1.2)):
        self.gamma = bounds("gamma", gamma)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        power = rng.uniform(*self.gamma)
        sample.image = pointwise(sample.image, lambda v: v**power)
        return sample


@TRANSFORMS.register
class Grayscale(BaseTransform):
    """Grey at random, on three channels. Needs RGB images.

    Args:
        p: How often, 0 to 1.
    Raises:
        ValueError: If p is not in 0 to 1.
    """

    def __init__(self, p: float = 0.2):
        self.p = share(p)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        require_rgb(sample.image, self)
        if rng.random() < self.p:
            grey = cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY)
            sample.image = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
        return sample


@TRANSFORMS.register
class ColorJitter(BaseTransform):
    """Random brightness, contrast, saturation and hue, in random order, as torchvision's.

    Needs RGB images.

    Args:
        brightness: The factor is drawn from 1 - brightness to 1 + brightness, from 0 up.
        contrast: Likewise, about the mean grey of the image.
        saturation: Likewise, about each pixel's grey.
        hue: Largest turn of the hue either way, as a share of the colour circle, up to 0.5.
    Raises:
        ValueError: If a strength is negative, or hue above 0.5.
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
    ):
        if min(brightness, contrast, saturation) < 0 or not 0 <= hue <= 0.5:
            raise ValueError(
                f"brightness, contrast, saturation and hue are {brightness}, {contrast}, "
                f"{saturation} and {hue}; give strengths from 0 up, hue up to 0.5"
            )
        self.steps = [(brightness, brighten), (contrast, stretch_contrast), (saturation, saturate)]
        self.hue = hue

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        require_rgb(sample.image, self)
        for index in rng.permutation(4):
            if index == 3:
                sample.image = turn_hue(sample.image, rng.uniform(-self.hue, self.hue))
                continue
            strength, change = self.steps[index]
            factor = rng.uniform(max(1 - strength, 0), 1 + strength)
            sample.image = change(sample.image, factor)
        return sample


def brighten(image: np.ndarray, factor: float) -> np.ndarray:
    return image if factor == 1 else pointwise(image, lambda v: v * factor)


def stretch_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    if factor == 1:
        return image
    mean = float(LUMA @ cv2.mean(image)[:3]) / np.iinfo(image.dtype).max
    return pointwise(image, lambda v: (v - mean) * factor + mean)


def saturate(image: np.ndarray, factor: float) -> np.ndarray:
    if factor == 1:
        return image
    return mixed(image, factor * np.eye(3) + (1 - factor) * np.tile(LUMA, (3, 1)))


def turn_hue(image: np.ndarray, turn: float) -> np.ndarray:
    if turn == 0:
        return image
    full = np.iinfo(image.dtype).max
    values = cv2.cvtColor(image.astype(np.float32) / full, cv2.COLOR_RGB2HSV)  # hue 0 to 360
    values[:, :, 0] = (values[:, :, 0] + turn * 360) % 360
    return (cv2.cvtColor(values, cv2.COLOR_HSV2RGB) * full).round().astype(image.dtype)
