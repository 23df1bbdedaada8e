"""Label maps in .mat files, with errors that name the file."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from utils.errors import UserError

# what loadmat raises for files that are cut, damaged or of another kind
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    MatReadError,
    zlib.error,
)


def load_mat(path: Path) -> dict[str, Any]:
    """The variables of a .mat file by name.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        return loadmat(path)
    except UNREADABLE as error:
        raise UserError(f"{path} is not a .mat file that can be read: {error}") from error


def as_label_map(label: Any, path: Path) -> np.ndarray:
    """An array of a .mat file as a label map (H, W) int32.

    Raises:
        UserError: If it has other axes than two, or holds anything but whole numbers.
    """
    label = np.asarray(label)
    numbers = label.dtype.kind in "iubf"
    if label.ndim != 2 or not numbers:
        raise UserError(
            f"{path} holds {label.dtype if numbers else 'no'} numbers of shape {label.shape}; a "
            "label map is an array (height, width) of whole numbers"
        )
    with np.errstate(invalid="ignore"):  # NaN becomes some number, which it does not equal
        whole = label.astype(np.int32)
    if (label != whole).any():
        stray = label[label != whole][0]
        raise UserError(f"{path} holds the label {stray}; labels are whole numbers")
    return whole
