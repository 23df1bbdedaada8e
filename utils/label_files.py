"""Label files that belong to predictions: the truth, and semantic masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath
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
TRAIN_IDS = 19
TRUTH_NAMES: dict[str, Callable[[str], str]] = {
    "cvppp": lambda stem: stem.removesuffix("_rgb") + "_label",
    "cityscapes": lambda stem: stem.removesuffix("_leftImg8bit") + "_gtFine_instanceIds",
}


def truth_names(stem: str, dataset: str | None) -> list[str]:
    """Names that the label file of an image may have; its own comes last.

    An image may lie beside its label file, as in CVPPP.
    """
    if dataset is not None:
        return [TRUTH_NAMES[dataset](stem)]
    return [*(name_of(stem) for name_of in TRUTH_NAMES.values()), stem]


def find_labels(
    folder: Path, images: Iterable[PurePath], names: Callable[[str], Iterable[str]], option: str
) -> list[Path]:
    """The label file of each image, searched in the folder and below.

    Of several files of one name the one that lies in `folder` as the image does in its own counts,
    else the one least deep.

    Args:
        folder: Where they lie.
        images: Paths of the images below their own folder, without an ending.
        names: The names that an image's file may have, without an ending; the first found counts.
        option: What names the folder on the command line.

    Raises:
        UserError: If any is missing; it lists them all.
    """
    if not folder.is_dir():
        raise UserError(f"{option} {folder}: there is no such folder")
    there = defaultdict(list)
    for path in sorted(folder.rglob("*"), key=lambda path: (len(path.parts), path)):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            there[path.stem].append(path)
    found, missing = [], []
    for image in images:
        place, wanted = folder / image.parent, list(names(image.name))
        files = next((there[name] for name in wanted if name in there), [])
        found += sorted(files, key=lambda path: path.parent != place)[:1]
        if not files:
            named = " or ".join(f"{image.with_name(name)}.png" for name in wanted)
            missing.append(f"\n  {named}")
    if missing:
        count = len(found) + len(missing)
        raise UserError(
            f"{option} {folder}: {len(missing)} of {count} files missing:{''.join(missing)}"
        )
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


def read_foreground(path: Path, dataset: str | None, things: str | None) -> np.ndarray:
    """Where a semantic label map has the class, or any thing, (H, W) bool.

    Of Cityscapes, ids are those of our models (train ids), colours the official ones. Another data
    set's class is asked for by its number; without a class, all but 0 and 255 are foreground.

    Raises:
        UserError: If the file holds colours and the class is none of Cityscapes', or ids that are
            no train ids where they must be.
    """
    label = read_label(path)
    wanted = [thing for name, thing in THINGS.items() if things in (None, name)]
    if label.ndim == 3:
        if not wanted:
            raise UserError(
                f"{path} holds colours, which are read as those of Cityscapes; --things-class is "
                f"{things}, but must be one of {', '.join(THINGS)}"
            )
        return np.any([(label == thing.colour).all(-1) for thing in wanted], axis=0)
    if not wanted:
        return label == int(things)
    if things is None and dataset != "cityscapes":
        return (label != 0) & (label != 255)
    if ((label >= TRAIN_IDS) & (label != 255)).any():
        raise UserError(
            f"{path} holds ids up to {label[label != 255].max()}, and must hold Cityscapes' train "
            f"ids, 0 to {TRAIN_IDS - 1}, as inference.py --save ids writes them"
        )
    return np.isin(label, [thing.train_id for thing in wanted])


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
