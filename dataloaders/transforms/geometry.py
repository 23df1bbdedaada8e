"""Steps that move pixels: resizing, turning, mirroring.

A step only says where pixels go. Steps that stand next to each other in a list become one map, so
an image is sampled once, and what one step moves out of sight another may bring back.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from base.base_transform import TRANSFORMS, BaseTransform
from dataloaders.transforms.warp import Size, about, shift, stretch, turn, warp
from utils.sample import Sample

TRIES = 10
GRID = 32


class Geometry(BaseTransform):
    """A step that moves pixels.

    Attributes:
        rare_class_crops: Largest share of the labelled pixels that one class may fill before the
            place is drawn again; 0 for any.
    """

    rare_class_crops: float = 0.0

    @abstractmethod
    def draw(self, size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        """A random map (3, 3) of a frame of (height, width), and the frame it leads to."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return move([self], sample, rng)


def move(steps: list[Geometry], sample: Sample, rng: np.random.Generator) -> Sample:
    """The sample after all steps, by one warp."""
    limit = min((s.rare_class_crops for s in steps if s.rare_class_crops), default=1.0)
    for _ in range(TRIES):
        matrix, size = chain(steps, sample.image.shape[:2], rng)
        if limit >= 1 or class_share(sample, matrix, size) <= limit:
            break
    return warp(sample, matrix, size)


def chain(steps: list[Geometry], size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
    """The map of all steps in turn, and the frame of the last."""
    matrix = np.eye(3)
    for step in steps:
        following, size = step.draw(size, rng)
        matrix = following @ matrix
    return matrix, size


def class_share(sample: Sample, matrix: np.ndarray, size: Size) -> float:
    """Share of the labelled pixels that the largest class fills, on a grid of points; 1 where none
    is labelled."""
    if not sample.maps:
        return 0.0
    name = "semantic" if "semantic" in sample.maps else next(iter(sample.maps))
    labels, (height, width) = sample.maps[name], size
    x, y = np.meshgrid(*((np.arange(GRID) + 0.5) / GRID * side for side in (width, height)))
    points = np.stack([x.ravel(), y.ravel(), np.ones(GRID * GRID)])
    columns, rows = np.floor(np.linalg.inv(matrix) @ points)[:2].astype(int)
    inside = (columns >= 0) & (columns < labels.shape[1]) & (rows >= 0) & (rows < labels.shape[0])
    found = labels[rows[inside], columns[inside]]
    counts = np.unique(found[found != sample.border[name]], return_counts=True)[1]
    return counts.max() / counts.sum() if len(counts) else 1.0


def pair_of(size: int | tuple[int, int], name: str = "size") -> Size:
    """(height, width) of a side, or of two.

    Raises:
        ValueError: If one is below 1.
    """
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if min(pair) < 1:
        raise ValueError(f"{name} {size} has a side below 1; sides are pixels, above zero")
    return pair


def share(p: float) -> float:
    """The probability itself.

    Raises:
        ValueError: If it is not in 0 to 1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p is {p}; a probability goes from 0 to 1")
    return p


def bounds(name: str, pair: tuple[float, float], least: float = 0.0) -> tuple[float, float]:
    """The pair itself.

    Raises:
        ValueError: If it falls, or does not stay above `least`.
    """
    low, high = pair
    if not least < low <= high:
        raise ValueError(f"{name} is {[low, high]}; give the lowest and highest, above {least:g}")
    return low, high


@TRANSFORMS.register
class Resize(Geometry):
    """Resize to a fixed size.

    Args:
        size: (height, width) in pixels, or the shorter side, as in torchvision.
    Raises:
        ValueError: If a side is below 1.
    """

    def __init__(self, size: int | tuple[int, int]):
        self.short = size if isinstance(size, int) else None
        self.size = pair_of(size)

    def draw(self, size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        if self.short is None:
            return resize(size, self.size)
        factor = self.short / min(size)
        return resize(size, (round(size[0] * factor), round(size[1] * factor)))


@TRANSFORMS.register
class RandomScale(Geometry):
    """Resize by a random factor.

    Args:
        scale: Lowest and highest factor, drawn evenly.
        base_size: Long side that the factor 1 gives, in pixels; the image's own without it.
    Raises:
        ValueError: If a factor or base_size is not above zero.
    """

    def __init__(self, scale: tuple[float, float] = (0.5, 2.0), base_size: int | None = None):
        if base_size is not None and base_size < 1:
            raise ValueError(f"base_size is {base_size}; give pixels, above zero")
        self.scale, self.base_size = bounds("scale", scale), base_size

    def draw(self, size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        factor = rng.uniform(*self.scale) * (self.base_size or max(size)) / max(size)
        return resize(size, (max(round(size[0] * factor), 1), max(round(size[1] * factor), 1)))


@TRANSFORMS.register
class RandomRotation(Geometry):
    """Rotate about the middle by a random angle; the size stays.

    Args:
        degrees: Largest angle either way.
    Raises:
        ValueError: If it is negative.
    """

    def __init__(self, degrees: float = 10.0):
        if degrees < 0:
            raise ValueError(f"degrees is {degrees}; give the largest angle, from zero up")
        self.degrees = degrees

    def draw(self, size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        angle = rng.uniform(-self.degrees, self.degrees)
        return about(size[1] / 2, size[0] / 2, turn(angle)), size


@TRANSFORMS.register
class RandomRotate90(Geometry):
    """Turn by 0, 90, 180 or 270 degrees, each as often; height and width may change places."""

    def draw(self, size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        matrix = np.eye(3)
        for _ in range(rng.integers(4)):
            quarter = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, size[1]], [0.0, 0.0, 1.0]])
            matrix, size = quarter @ matrix, size[::-1]
        return matrix, size


@TRANSFORMS.register
class RandomHorizontalFlip(Geometry):
    """Mirror left to right.

    Args:
        p: How often, 0 to 1.
    Raises:
        ValueError: If p is not in 0 to 1.
    """

    def __init__(self, p: float = 0.5):
        self.p = share(p)

    def draw(self, size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        mirror = shift(size[1], 0) @ stretch(-1, 1)
        return (mirror if rng.random() < self.p else np.eye(3)), size


@TRANSFORMS.register
class RandomVerticalFlip(Geometry):
    """Mirror top to bottom.

    Args:
        p: How often, 0 to 1.
    Raises:
        ValueError: If p is not in 0 to 1.
    """

    def __init__(self, p: float = 0.5):
        self.p = share(p)

    def draw(self, size: Size, rng: np.random.Generator) -> tuple[np.ndarray, Size]:
        mirror = shift(0, size[0]) @ stretch(1, -1)
        return (mirror if rng.random() < self.p else np.eye(3)), size


def resize(size: Size, wanted: Size) -> tuple[np.ndarray, Size]:
    return stretch(wanted[1] / size[1], wanted[0] / size[0]), wanted
