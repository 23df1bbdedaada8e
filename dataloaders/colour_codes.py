"""Colours of label files as one number each: R * 65536 + G * 256 + B, so black is 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from utils.errors import UserError


def codes_of(colours: np.ndarray) -> np.ndarray:
    """The numbers, int32 (...), of 8 bit RGB colours (..., 3)."""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def colour_of(code: int) -> list[int]:
    """The RGB of a number."""
    return [code >> 16, code >> 8 & 255, code & 255]


def label_codes(label: np.ndarray, path: Path) -> np.ndarray:
    """The numbers (H, W) of a label in colour, (H, W, 3).

    Raises:
        UserError: If its colours have more than 8 bits.
    """
    if label.dtype != np.uint8:
        raise UserError(f"{path} holds {label.dtype} colours; labels in colour have 8 bits each")
    return codes_of(label)
