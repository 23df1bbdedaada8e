"""Label files that belong to predictions: the truth, and semantic masks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from dataloaders.cityscapes_classes import ALL_VALUES, LABELS, SCORED, instance_table
from dataloaders.instance_labels import read_ids
from utils.errors import UserError
from utils.image_io import IMAGE_SUFFIXES, read_label
from utils.targets import INSTANCE_IGNORE


class Thing(NamedTuple):
    """A Cityscapes class with instances: its number in its two countings, its colour."""

    train_id: int
    label_id: int
    colour: list[int]


THINGS = {
    label.name: Thing(label.train_id, number, label.colour)
    for number, label in enumerate(LABELS)
    if label.thing and label.train_id is not None
}
TRAIN_IDS = len(SCORED)
CITYSCAPES_TRUTH = "_gtFine_instanceIds"
TRUTH_NAMES: dict[str, Callable[[str], str]] = {
    "cvppp": lambda stem: stem.removesuffix("_rgb") + "_label",
    "cityscapes": lambda stem: stem.removesuffix("_leftImg8bit") + CITYSCAPES_TRUTH,
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


def scored_things(things: str | None) -> dict[str, Thing]:
    """The Cityscapes classes of a name or of a number in either counting; all without one."""
    number = int(things) if things and things.isdecimal() else None
    return {
        name: thing
        for name, thing in THINGS.items()
        if things in (None, name) or number in (thing.train_id, thing.label_id)
    }


def read_truth(path: Path, things: str | None) -> np.ndarray:
    """Instance ids (H, W) int32, 0 background, -1 ignored, as a training reads them.

    Of Cityscapes, whose files are known by their names, the objects of one class, or of all; its
    group regions are ignored.

    Raises:
        UserError: As `read_ids`, or if the class is no thing of Cityscapes.
    """
    ids = read_ids(path)
    if not path.stem.endswith(CITYSCAPES_TRUTH):
        return ids
    wanted = scored_things(things)
    if not wanted:
        raise UserError(
            f"{path} holds the objects of Cityscapes; --things-class is {things}, but must be one "
            f"of {', '.join(THINGS)}, or its number"
        )
    if ids.max() >= ALL_VALUES:
        raise UserError(f"{path} holds {ids.max()}; instance files of Cityscapes have 16 bits")
    return instance_table(list(wanted), INSTANCE_IGNORE)[ids]


def read_foreground(path: Path, dataset: str | None, things: str | None) -> np.ndarray:
    """Where a semantic label map has the class, or any thing, (H, W) bool.

    Of Cityscapes, ids are those of our models (train ids), colours the official ones. Another data
    set's class is asked for by its number; without a class, all but 0 and 255 are foreground.

    Raises:
        UserError: If the file holds colours that are not Cityscapes', or the class is none of its
            own; or ids that are no train ids where they must be.
    """
    label = read_label(path)
    wanted = scored_things(things)
    if label.ndim == 3:
        if not wanted:
            raise UserError(
                f"{path} holds colours, which are read as those of Cityscapes; --things-class is "
                f"{things}, but must be one of {', '.join(THINGS)}"
            )
        refuse_strange_colours(label, path)
        return np.any([(label == thing.colour).all(-1) for thing in wanted.values()], axis=0)
    if things is not None and things.isdecimal():
        return label == int(things)
    if things is None and dataset != "cityscapes":
        return (label != 0) & (label != 255)
    if ((label >= TRAIN_IDS) & (label != 255)).any():
        raise UserError(
            f"{path} holds ids up to {label[label != 255].max()}, and must hold Cityscapes' train "
            f"ids, 0 to {TRAIN_IDS - 1}, as inference.py --save ids writes them"
        )
    return np.isin(label, [thing.train_id for thing in wanted.values()])


def refuse_strange_colours(label: np.ndarray, path: Path) -> None:
    found = {tuple(map(int, colour)) for colour in np.unique(label.reshape(-1, 3), axis=0)}
    strange = sorted(found - {tuple(row.colour) for row in LABELS})
    if strange:
        shown = ", ".join(map(str, strange[:5])) + ", ..." * (len(strange) > 5)
        raise UserError(
            f"{path} holds {len(strange)} colours that are none of Cityscapes': {shown}; give its "
            "official colours, or ids as inference.py --save ids writes them"
        )


def check_things(name: str | None) -> str | None:
    """The class as it came.

    Raises:
        UserError: If it is neither a Cityscapes class with instances nor a number.
    """
    if name is not None and name not in THINGS and not name.isdecimal():
        raise UserError(
            f"--things-class {name}: known are {', '.join(THINGS)}, or the number of a class"
        )
    return name
