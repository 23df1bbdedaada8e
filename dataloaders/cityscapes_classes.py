"""The labels of Cityscapes, and the class lists that can be made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.registry import suggest

REST, BLACK = "rest", [0, 0, 0]
ALL_VALUES = 1 << 16  # an instance file holds id * 1000 + n
SAMPLE_IGNORED = ALL_VALUES - 1  # in files of tools/sample_instances.py


class Label(NamedTuple):
    """A row of the official table; the row's number is the id in the label files.

    Attributes:
        name: As published.
        train_id: Id among the 19 classes that are scored, None for the others.
        category: One of the 8.
        thing: Whether its objects are told apart.
        colour: RGB.
    """

    name: str
    train_id: int | None
    category: str
    thing: bool
    colour: list[int]


_TABLE = json.loads((Path(__file__).parent / "palettes" / "cityscapes.json").read_text())
LABELS = [Label(**row) for row in _TABLE["labels"]]
CATEGORIES: dict[str, list[int]] = _TABLE["categories"]
SCORED = [label for label in LABELS if label.train_id is not None]


class ClassList(NamedTuple):
    """Classes made of the labels.

    Attributes:
        names, palette: By class id.
        ids: Class id of each label, None to ignore it.
    """

    names: list[str]
    palette: list[list[int]]
    ids: list[int | None]


def class_list(classes: int | list[str]) -> ClassList:
    """The classes that a config's `classes` asks for; see Cityscapes.

    Raises:
        ValueError: If a name is unknown or stands twice.
    """
    if isinstance(classes, list):
        return chosen(classes)
    if classes in (19, 20):
        names, palette = [x.name for x in SCORED], [x.colour for x in SCORED]
        if classes == 19:
            return ClassList(names, palette, [x.train_id for x in LABELS])
        others = [19 if x.train_id is None else x.train_id for x in LABELS]
        return ClassList([*names, "unlabeled"], [*palette, BLACK], others)
    names = [name for name in CATEGORIES if classes == 8 or name != "void"]
    ids = {name: index for index, name in enumerate(names)}
    palette = [CATEGORIES[name] for name in names]
    return ClassList(names, palette, [ids.get(x.category) for x in LABELS])


def chosen(names: list[str]) -> ClassList:
    """The named labels and the rest; one name is class 1 of two, as binary losses have it."""
    colours = {label.name: label.colour for label in LABELS}
    if not names or len(set(names)) != len(names):
        raise ValueError("classes must be a list of different names")
    for name in names:
        if name not in colours:
            raise ValueError(f"classes has the unknown name {name!r}; {suggest(name, colours)}")
    order = [REST, *names] if len(names) == 1 else [*names, REST]
    ids = {name: index for index, name in enumerate(order)}
    rest = {x.name: ids[REST] for x in SCORED}
    return ClassList(
        order,
        [colours.get(name, BLACK) for name in order],
        [ids.get(x.name, rest.get(x.name)) for x in LABELS],
    )


def chosen_things(things: str | list[str]) -> list[str]:
    """Names of the things to tell apart; "all" are the 8 that are scored.

    Raises:
        ValueError: If a name is none of a thing.
    """
    if things == "all":
        return [x.name for x in SCORED if x.thing]
    known = [x.name for x in LABELS if x.thing]
    names = [things] if isinstance(things, str) else things
    for name in names:
        if name not in known:
            raise ValueError(f"things has the unknown name {name!r}; {suggest(name, known)}")
    if not names:
        raise ValueError('things is empty; give names, or "all"')
    return names


def class_table(ids: list[int | None], ignore_index: int) -> np.ndarray:
    """Class id by the value in a label or instance file; values of no label stay as they are."""
    table = np.arange(ALL_VALUES, dtype=np.int32)
    for label, index in enumerate(ids):
        own = ignore_index if index is None else index
        table[label] = own
        table[max(label, 1) * 1000 : (label + 1) * 1000] = own
    return table


def instance_table(things: list[str], ignored: int) -> np.ndarray:
    """Object id by the value in an instance file: a thing's own value, 0 for the rest.

    A value below 1000 of a thing is a group of objects that nobody told apart: ignored.
    """
    table = np.zeros(ALL_VALUES, dtype=np.int32)
    for label, row in enumerate(LABELS):
        if row.name in things:
            values = slice(label * 1000, (label + 1) * 1000)
            table[values] = np.arange(ALL_VALUES)[values]
            table[label] = ignored
    return table
