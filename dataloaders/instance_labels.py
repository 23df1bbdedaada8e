"""From label files that mark objects to instance ids, and from ids to the targets of a data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from dataloaders.colour_codes import label_codes
from utils.errors import UserError
from utils.image_io import read_label
from utils.targets import INSTANCE_IGNORE

Target = Literal["instance", "semantic", "both"]
TARGETS: dict[str, tuple[str, ...]] = {
    "instance": ("instance",),
    "semantic": ("semantic",),
    "both": ("semantic", "instance"),
}
LARGEST = np.iinfo(np.int32).max


def read_ids(path: Path) -> np.ndarray:
    """Instance ids (H, W) int32 of a label file: 0 background, -1 ignored.

    Numbers and palette indices are the ids; a colour is R * 65536 + G * 256 + B; a `.npy` file
    holds an array of whole numbers.

    Raises:
        UserError: If the file is unreadable, or holds what is no id.
    """
    label = read_array(path) if path.suffix.lower() == ".npy" else read_label(path)
    if label.ndim == 3:
        return label_codes(label, path)
    if label.size and not INSTANCE_IGNORE <= int(label.min()) <= int(label.max()) <= LARGEST:
        raise UserError(
            f"{path} holds values from {label.min()} to {label.max()}; instance ids go from 1 to "
            f"{LARGEST}, with 0 for background and -1 for what is ignored"
        )
    return label.astype(np.int32)


def read_array(path: Path) -> np.ndarray:
    """The (H, W) array of a `.npy` file."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not a NumPy array that can be read: {error}") from error
    if array.ndim != 2 or array.dtype.kind not in "iub":
        raise UserError(
            f"{path} holds {array.dtype} values of shape {array.shape}; a label map is an array "
            "(height, width) of whole numbers"
        )
    return array


def target_maps(
    ids: np.ndarray, targets: tuple[str, ...], ignore_index: int
) -> dict[str, np.ndarray]:
    """Label maps (H, W) int32 by target name.

    Args:
        ids: Instance ids, 0 background, -1 ignored.
        targets: Of "instance", the ids as they are, and "semantic", 1 wherever an object is.
        ignore_index: Semantic label of what is ignored.
    """
    semantic = np.where(ids < 0, ignore_index, ids > 0).astype(np.int32)
    maps = {"semantic": semantic, "instance": ids}
    return {name: maps[name] for name in targets}


def keep_share(ids: np.ndarray, ratio: float, seed: int, name: str) -> np.ndarray:
    """The ids with a random share of the objects; all others become 0.

    Which ones follows from the seed, the name and the ids alone, and those of a smaller ratio are
    among those of a larger one.

    Args:
        ids: (H, W), 0 background, -1 ignored.
        ratio: Share of the objects, in (0, 1]; their number is rounded and may be 0.
        seed: From zero up.
        name: Of the image.
    """
    objects = np.unique(ids[ids > 0])
    order = np.random.default_rng([seed, *os.fsencode(name)]).permutation(objects)
    dropped = order[round(ratio * len(order)) :]
    return np.where(np.isin(ids, dropped), 0, ids)


def check_sampling(ratio: float, seed: int) -> None:
    """Refuse a share outside (0, 1] and a negative seed.

    Raises:
        ValueError: Saying what is allowed.
    """
    if not 0 < ratio <= 1:
        raise ValueError(
            f"instance_ratio is {ratio}; give the share of the objects to keep, above 0 and up to 1"
        )
    if seed < 0:
        raise ValueError(f"sample_seed is {seed}; give a whole number from zero up")
