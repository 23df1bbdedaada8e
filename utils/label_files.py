"""Label files that belong to predictions: the truth, and semantic masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.errors import UserError
from utils.image_io import IMAGE_SUFFIXES, read_label
from utils.targets import INSTANCE_IGNORE


class Thing(NamedTuple):
    """A Cityscapes class with instances: its number in its two countings, its colour."""

    train_id: int
    label_id: int
    colour: tuple[int, int, int]


THINGS = {
    "person": Thing(11, 24, (220, 20, 60)),
    "rider": Thing(12, 25, (255, 0, 0)),
    "car": Thing(13, 26, (0, 0, 142)),
    "truck": Thing(14, 27, (0, 0, 70)),
    "bus": Thing(15, 28, (0, 60, 100)),
    "train": Thing(16, 31, (0, 80, 100)),
    "motorcycle": Thing(17, 32, (0, 0, 230)),
    "bicycle": Thing(18, 33, (119, 11, 32)),
}
TRUTH_NAMES: dict[str, Callable[[str], str]] = {
    "cvppp": lambda stem: stem.removesuffix("_rgb") + "_label",
    "cityscapes": lambda stem: stem.removesuffix("_leftImg8bit") + "_gtFine_instanceIds",
}


def truth_names(stem: str, dataset: str | None) -> tuple[str, ...]:
    """Names that the label file of an image may have; its own comes last.

    An image may lie beside its label file, as in CVPPP.
    """
    if dataset is not None:
        return (TRUTH_NAMES[dataset](stem),)
    return (*(name_of(stem) for name_of in TRUTH_NAMES.values()), stem)


def find_labels(folder: Path, names: Iterable[tuple[str, ...]], option: str) -> list[Path]:
    """The label file of each image, searched in the folder and below.

    Args:
        folder: Where they lie.
        names: For each image the names its file may have, without an ending; the first found
            counts.
        option: What names the folder on the command line.

    Raises:
        UserError: If any is missing; it lists them all.
    """
    if not folder.is_dir():
        raise UserError(f"{option} {folder}: there is no such folder")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    there = {path.stem: path for path in reversed(files)}
    found = [next((there[n] for n in each if n in there), None) for each in names]
    missing = [each for each, path in zip(names, found, strict=True) if path is None]
    if missing:
        lines = "".join("\n  " + " or ".join(f"{n}.png" for n in each) for each in missing)
        raise UserError(f"{option} {folder}: {len(missing)} of {len(found)} files missing:{lines}")
    return found


def read_truth(path: Path, dataset: str | None, things: str | None) -> np.ndarray:
    """Instance ids (H, W) int32, 0 background, -1 ignored; colours are one id each.

    Of Cityscapes the objects of one class, or of all; its group regions are ignored.
    """
    label = read_label(path).astype(np.int32)
    if label.ndim == 3:
        label = label @ np.array([65536, 256, 1], np.int32)
    if dataset != "cityscapes":
        return label
    wanted = [thing.label_id for name, thing in THINGS.items() if things in (None, name)]
    ids = np.where(np.isin(label // 1000, wanted), label, 0)
    return np.where(np.isin(label, wanted), INSTANCE_IGNORE, ids)


def read_foreground(path: Path, things: str | None) -> np.ndarray:
    """Where a semantic label map has the class, or any thing, (H, W) bool.

    Ids are those of our Cityscapes models (train ids); colours are the official ones. Another data
    set's class is asked for by its number; without a class, all but 0 and 255 are foreground.

    Raises:
        UserError: If the file holds colours and the class is none of Cityscapes'.
    """
    label = read_label(path)
    if label.ndim == 3:
        if things is not None and things not in THINGS:
            raise UserError(
                f"{path} holds colours, which are read as those of Cityscapes; --things-class is "
                f"{things}, but must be one of {', '.join(THINGS)}"
            )
        wanted = [thing.colour for name, thing in THINGS.items() if things in (None, name)]
        return np.any([(label == colour).all(-1) for colour in wanted], axis=0)
    if things is None:
        return (label != 0) & (label != 255)
    return label == (THINGS[things].train_id if things in THINGS else int(things))


def check_things(name: str | None) -> str | None:
    """The class as it came.

    Raises:
        UserError: If it is neither a Cityscapes class with instances nor a number.
    """
    if name is not None and name not in THINGS and not name.isdigit():
        raise UserError(
            f"--things-class {name}: known are {', '.join(THINGS)}, or the number of a class"
        )
    return name
