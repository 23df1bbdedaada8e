"""Paired augmentation of images and their label maps.

A transform is called as `transform(sample, rng)` and changes nothing but the sample it returns;
every random number comes from `rng`.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from utils.registry import Registry
from utils.sample import Sample

TRANSFORMS = Registry("transform")


class Compose:
    """Transforms in order."""

    def __init__(self, transforms: list):
        self.transforms = transforms

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample


@TRANSFORMS.register
class Warp:
    """Scale, rotation, mirroring and crop as one affine warp, straight into the crop.

    The image is sampled bilinearly, labels by nearest neighbour; outside the image lies the border
    colour and the ignored label. An image that shrinks to half or less is first reduced by area
    averaging, which a warp cannot do.

    Args:
        base_size: Long side before random scaling, in pixels; the image's own without it.
        crop_size: Side of the square result in pixels, or (height, width); the size of the scaled
            image without it.
        scale: Lowest and highest random factor, drawn evenly.
        rotate: Largest angle either way, in degrees.
        flip: Mirror left to right half of the time.
        center: Take the crop from the middle and not from a random place.
    Raises:
        ValueError: If a size or factor is not above zero.
    """

    def __init__(
        self,
        base_size: int | None = None,
        crop_size: int | tuple[int, int] | None = None,
        scale: tuple[float, float] = (1.0, 1.0),
        rotate: float = 0.0,
        flip: bool = False,
        center: bool = False,
    ):
        if crop_size is not None and not isinstance(crop_size, int):
            crop_size = tuple(crop_size)
        self.crop = (crop_size, crop_size) if isinstance(crop_size, int) else crop_size
        if base_size is not None and base_size < 1 or self.crop and min(self.crop) < 1:
            raise ValueError(f"base_size {base_size} and crop_size {crop_size} must be above zero")
        if rotate < 0:
            raise ValueError(f"rotate is {rotate}; give the largest angle, from zero up")
        if not 0 < scale[0] <= scale[1]:
            raise ValueError(
                f"scale is {list(scale)}; give the lowest and highest factor, above zero"
            )
        self.base_size, self.scale, self.rotate = base_size, scale, rotate
        self.flip, self.center = flip, center

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = sample.image.shape[:2]
        factor = rng.uniform(*self.scale) * (self.base_size or max(height, width))
        factor /= max(height, width)
        angle = rng.uniform(-self.rotate, self.rotate)
        mirror = self.flip and rng.random() < 0.5
        across, down = (0.5, 0.5) if self.center else rng.random(2)
        scaled = (max(round(height * factor), 1), max(round(width * factor), 1))
        size = self.crop or scaled
        matrix = (
            shift(-round(across * (scaled[1] - size[1])), -round(down * (scaled[0] - size[0])))
            @ about(scaled[1] / 2, scaled[0] / 2, turn(angle) @ flipped(mirror))
            @ stretch(scaled[1] / width, scaled[0] / height)
        )
        sample.image = warp_image(sample.image, matrix, size, sample.border["image"])
        sample.maps = {
            name: warp_labels(labels, matrix, size, sample.border[name])
            for name, labels in sample.maps.items()
        }
        return sample


@TRANSFORMS.register
class Blur:
    """Gaussian blur of the image by a random sigma.

    Args:
        sigma: Lowest and highest sigma, in pixels.
    Raises:
        ValueError: If sigma is negative or falls.
    """

    def __init__(self, sigma: tuple[float, float] = (0.0, 1.0)):
        if not 0 <= sigma[0] <= sigma[1]:
            raise ValueError(
                f"sigma is {list(sigma)}; give the lowest and the highest, from zero up"
            )
        self.sigma = sigma

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sigma = rng.uniform(*self.sigma)
        if sigma > 0:
            sample.image = with_axis(cv2.GaussianBlur(sample.image, (0, 0), sigma))
        return sample


@TRANSFORMS.register
class BrightnessContrast:
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
        full = np.iinfo(sample.image.dtype).max
        factor = 1 + rng.uniform(-self.contrast, self.contrast)
        shift = full * (rng.uniform(-self.brightness, self.brightness) + 0.5 * (1 - factor))
        if sample.image.dtype == np.uint8:
            table = (np.arange(256) * factor + shift).round().clip(0, 255).astype(np.uint8)
            sample.image = with_axis(cv2.LUT(sample.image, table))
        else:
            values = sample.image.astype(np.float32) * factor + shift
            sample.image = values.round().clip(0, full).astype(sample.image.dtype)
        return sample


def stretch(x: float, y: float) -> np.ndarray:
    return np.diag([x, y, 1.0])


def shift(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def turn(degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


def flipped(mirror: bool) -> np.ndarray:
    return np.diag([-1.0 if mirror else 1.0, 1.0, 1.0])


def about(x: float, y: float, matrix: np.ndarray) -> np.ndarray:
    """The map with (x, y) as its fixed point."""
    return shift(x, y) @ matrix @ shift(-x, -y)


def pixel_matrix(matrix: np.ndarray) -> np.ndarray:
    """A map of the plane as OpenCV wants it: pixel centres at whole numbers, two rows."""
    return (shift(-0.5, -0.5) @ matrix @ shift(0.5, 0.5))[:2]


def warp_image(
    image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], border: list[float]
) -> np.ndarray:
    """Sample an (H, W, C) image bilinearly through `matrix` into (height, width)."""
    height, width = image.shape[:2]
    reduction = math.floor(1 / max(math.sqrt(abs(np.linalg.det(matrix))), 1e-6) + 1e-9)
    if reduction > 1:
        small = (max(width // reduction, 1), max(height // reduction, 1))
        image = with_axis(cv2.resize(image, small, interpolation=cv2.INTER_AREA))
        matrix = matrix @ stretch(width / small[0], height / small[1])
    border = list(border) * image.shape[2] if len(border) == 1 else list(border)
    parts = [
        cv2.warpAffine(
            np.ascontiguousarray(image[:, :, i : i + 4]),
            pixel_matrix(matrix),
            size[::-1],
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=border[i : i + 4],
        )
        for i in range(0, image.shape[2], 4)
    ]
    return np.concatenate([with_axis(part) for part in parts], axis=2)


def warp_labels(
    labels: np.ndarray, matrix: np.ndarray, size: tuple[int, int], border: int
) -> np.ndarray:
    """Sample (H, W) int32 ids by nearest neighbour through `matrix` into (height, width).

    Exact for ids of any size: OpenCV warps 16 bits, so others are numbered and looked up again.
    """
    ids = None
    if min(labels.min(), border) < -(2**15) or max(labels.max(), border) >= 2**15:
        ids, labels = np.unique(labels, return_inverse=True)
        ids, border = np.append(ids, border), len(ids)
    warped = cv2.warpAffine(
        labels.astype(np.int16),
        pixel_matrix(matrix),
        size[::-1],
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=border,
    )
    return warped.astype(np.int32) if ids is None else ids[warped].astype(np.int32)


def with_axis(image: np.ndarray) -> np.ndarray:
    """Give back the channel axis that OpenCV drops where it is 1."""
    return image[:, :, None] if image.ndim == 2 else image
