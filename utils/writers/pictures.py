"""The image under the colours of its labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from utils.image_io import write_picture
from utils.visualize import overlay
from utils.writers.writer import Result, Writer, always, ending

ROWS = 512  # mixed at a time, so that a large image needs no large floating-point copy


def draw_overlay(result: Result) -> np.ndarray:
    """(H, W, 3) uint8 RGB. Object ids beyond the palette's length take its colours again.

    Where there is no object the image is left as it is.
    """
    image, palette = result.image, result.task.palette
    picture = np.empty((*image.shape[:2], 3), np.uint8)
    for top in range(0, len(image), ROWS):
        rows = slice(top, top + ROWS)
        labels, shown = result.labels[rows], as_rgb(image[rows])
        if result.task.target == "instance":
            objects = np.where(labels > 0, 1 + (labels - 1) % (len(palette) - 1), 0)
            mixed = overlay(shown, objects, palette)
            picture[rows] = np.where(labels[:, :, None] > 0, mixed, shown)
        else:
            picture[rows] = overlay(shown, labels, palette)
    return picture


def as_rgb(image: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 or uint16 as (H, W, 3) uint8; grey of the first channel where C is not 3."""
    eight = (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image
    return eight if eight.shape[2] == 3 else np.repeat(eight[:, :, :1], 3, axis=2)


def write_overlay(path: Path, result: Result) -> None:
    write_picture(path, draw_overlay(result))


OVERLAY = Writer("the image under the colours", ending("_overlay.png"), always(write_overlay))
