"""Sampling an image and its labels through one affine map, straight into the crop.

A map takes points of the image's plane, in pixels from its upper left corner, to those of the
result. Only the part of the image that the result shows is read.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from utils.sample import Sample

Size = tuple[int, int]
ENOUGH = 4  # pixels kept along each side of a pixel of the result


def warp(sample: Sample, matrix: np.ndarray, size: Size) -> Sample:
    """The sample seen through `matrix` in a frame of (height, width)."""
    sample.image = warp_image(sample.image, matrix, size, sample.border["image"])
    sample.maps = {
        name: warp_labels(labels, matrix, size, sample.border[name])
        for name, labels in sample.maps.items()
    }
    return sample


def warp_image(
    image: np.ndarray, matrix: np.ndarray, size: Size, border: list[float]
) -> np.ndarray:
    """Sample an (H, W, C) image bilinearly through `matrix` into (height, width).

    A pixel of the result that spans several of the image is the mean of as many samples, so what
    shrinks does not alias.
    """
    channels = image.shape[2]
    border = list(border) * channels if len(border) == 1 else list(border)
    image, matrix = seen_part(image, matrix, size)
    if not image.size:
        return np.full((*size, channels), np.round(border), image.dtype)
    image, matrix = reduced(image, matrix)
    parts = [
        sampled(image[:, :, i : i + 4], matrix, size, border[i : i + 4])
        for i in range(0, channels, 4)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def sampled(image: np.ndarray, matrix: np.ndarray, size: Size, border: list[float]) -> np.ndarray:
    """The warp of up to four channels; three go as four, which OpenCV warps far faster."""
    three = image.shape[2] == 3
    image = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA) if three else image
    x, y = np.ceil(spans(matrix) - 1e-6).astype(int).clip(1).tolist()
    found = cv2.warpAffine(
        image,
        pixel_matrix(stretch(x, y) @ matrix),
        (size[1] * x, size[0] * y),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=border,
    )
    if x * y > 1:
        found = cv2.resize(found, size[::-1], interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(found, cv2.COLOR_RGBA2RGB) if three else with_axis(found)


def warp_labels(labels: np.ndarray, matrix: np.ndarray, size: Size, border: int) -> np.ndarray:
    """Sample (H, W) ids by nearest neighbour through `matrix` into (height, width) int32.

    Ids of one byte are warped as they are. Of others the four bytes travel as four channels, so
    ids of any size stay exact.
    """
    labels, matrix = seen_part(labels, matrix, size)
    if not labels.size:
        return np.full(size, border, np.int32)
    small = labels.dtype == np.uint8 and 0 <= border <= 255
    ids = labels if small else as_bytes(labels)
    warped = cv2.warpAffine(
        ids,
        pixel_matrix(matrix),
        size[::-1],
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=border if small else as_bytes(np.array([[border]]))[0, 0].tolist(),
    )
    return warped.astype(np.int32) if small else warped.view(np.int32)[:, :, 0]


def as_bytes(labels: np.ndarray) -> np.ndarray:
    """(H, W) ids as (H, W, 4) uint8."""
    return labels.astype(np.int32, copy=False).view(np.uint8).reshape(*labels.shape, 4)


def seen_part(array: np.ndarray, matrix: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """The rectangle of an array that the result shows, as a view, and the map from there."""
    height, width = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]).T
    found = (np.linalg.inv(matrix) @ corners)[:2]
    limit = np.array(array.shape[1::-1])
    x0, y0 = np.floor(found.min(axis=1) - 2).clip(0, limit).astype(int).tolist()
    x1, y1 = np.ceil(found.max(axis=1) + 2).clip(0, limit).astype(int).tolist()
    return array[y0:y1, x0:x1], matrix @ shift(x0, y0)


def reduced(image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image that shrinks far, averaged to four times its final size or more, and the map left.

    Averaging whole blocks is cheap; what is left gives the samples room to turn.
    """
    per_pixel = np.hypot(matrix[0, :2], matrix[1, :2])
    x, y = np.floor(1 / per_pixel / ENOUGH).astype(int).clip(1).tolist()
    if x * y == 1:
        return image, matrix
    height, width = image.shape[:2]
    small = max(width // x, 1), max(height // y, 1)
    matrix = matrix @ stretch(width / small[0], height / small[1])
    return with_axis(cv2.resize(image, small, interpolation=cv2.INTER_AREA)), matrix


def spans(matrix: np.ndarray) -> np.ndarray:
    """How many pixels of the image a pixel of the result spans, along the result's x and y."""
    inverse = np.linalg.inv(matrix)
    return np.hypot(inverse[0, :2], inverse[1, :2])


def stretch(x: float, y: float) -> np.ndarray:
    return np.diag([x, y, 1.0])


def shift(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def turn(degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


def about(x: float, y: float, matrix: np.ndarray) -> np.ndarray:
    """The map with (x, y) as its fixed point."""
    return shift(x, y) @ matrix @ shift(-x, -y)


def pixel_matrix(matrix: np.ndarray) -> np.ndarray:
    """A map of the plane as OpenCV wants it: pixel centres at whole numbers, two rows."""
    return (shift(-0.5, -0.5) @ matrix @ shift(0.5, 0.5))[:2]


def with_axis(image: np.ndarray) -> np.ndarray:
    """Give back the channel axis that OpenCV drops where it is 1."""
    return image[:, :, None] if image.ndim == 2 else image
