"""Arguments of a loader that would mend what its labels hold."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from base.base_dataset import BaseDataset
from dataloaders.colour_codes import codes_of, colour_of
from dataloaders.survey.faults import is_mask, strays
from dataloaders.survey.look import Look
from utils.errors import UserError
from utils.image_io import read_label

READ = 200  # label files whose colours are counted
MOST = 32  # colours, or values, that can still be meant


class Hint(NamedTuple):
    """What may be meant, and the arguments of the loader that say so; {} where there are none."""

    text: str
    args: dict[str, Any]

    def __str__(self) -> str:
        lines = json.dumps(self.args, ensure_ascii=False)[1:-1]
        return f"{self.text}, add to the args of the loader: {lines}" if lines else self.text


def hints(dataset: BaseDataset, looks: list[Look]) -> list[Hint]:
    """What would mend stray values and colours, as far as the data set has arguments for it."""
    found = [colour_hint(dataset, looks), value_hint(dataset, looks)]
    return [hint for hint in found if hint is not None]


def value_hint(dataset: BaseDataset, looks: list[Look]) -> Hint | None:
    """A "remap" for values that are no class."""
    seen = {value for look in looks for value in look.values} - {dataset.ignore_index}
    stray = sorted({value for look in looks for value in strays(dataset, look)})
    classes = len(dataset.classes)
    if is_mask(dataset, looks):
        stray = [255]
    if not stray:
        return None
    lossy = [look.label for look in looks if strays(dataset, look) and is_jpeg(look)]
    if lossy:
        return Hint(
            f"label files such as {lossy[0]} are JPEG, which changes values: labels are kept "
            "without loss, as PNG; write them anew from what they were made of",
            {},
        )
    if len(stray) > MOST:
        return Hint(
            f"{len(stray)} values are no class: if they are ids of objects, the data set "
            "FolderInstances reads them; if the files are pictures, labels must be made of them",
            {},
        )
    if getattr(dataset, "remap", None) != {}:  # no such argument, or values that are mapped already
        return None
    if classes == 2 and seen <= {0, *stray} and len(stray) == 1:
        return Hint(
            f"for masks whose {stray[0]} is the class {dataset.classes[1]}",
            {"remap": {str(stray[0]): 1}},
        )
    if stray == [classes] and 0 not in seen:
        return Hint(
            "for ids that start at 1",
            {"remap": {str(i + 1): i for i in range(classes)}},
        )
    are = "is" if len(stray) == 1 else "are"
    return Hint(
        f"if {listing(looks, stray)} {are} void (otherwise give the id of a class)",
        {"remap": {str(value): "ignore" for value in stray}},
    )


def is_jpeg(look: Look) -> bool:
    return look.label.lower().endswith((".jpg", ".jpeg"))


def listing(looks: list[Look], values: list[int]) -> str:
    """The values, each with the number of label files that hold it."""
    counts = {value: sum(value in look.values for look in looks) for value in values}
    return ", ".join(f"{v} (in {n} {'file' if n == 1 else 'files'})" for v, n in counts.items())


def colour_hint(dataset: BaseDataset, looks: list[Look]) -> Hint | None:
    """A "colors" for label files that hold colours, or what is missing in it."""
    given = getattr(dataset, "colors", None)
    if given is None:
        return None
    colours = count_colours(looks)
    new = [colour for colour, _ in colours.most_common() if [*colour] not in listed(given)]
    if not new:
        return None
    if len(new) > MOST:
        return Hint(
            f"label files hold {len(new)} colours: they were compressed or smoothed; labels are "
            "kept without loss, as PNG, and scaled by the nearest neighbour",
            {},
        )
    if given:
        text = 'if the colours that are not listed are void, "ignore" may be one of them'
        return Hint(text, {"colors": {**given, "ignore": [*new[0]]}})
    if any(look.values for look in looks):
        return Hint("some label files hold colours and others ids; make them alike", {})
    return Hint(*name_colours(dataset, new))


def listed(colors: dict[str, tuple[int, int, int]]) -> list[list[int]]:
    return [[*colour] for colour in colors.values()]


def name_colours(dataset: BaseDataset, colours: list[tuple]) -> tuple[str, dict[str, Any]]:
    """The classes of colours where they can be told; otherwise names that must be replaced."""
    classes = dataset.classes
    tables = {
        "label files hold the colours of the palette": dataset.palette,
        "label files hold class ids as shades of grey": [[i] * 3 for i in range(len(classes))],
        "label files hold a black and white mask": [[0] * 3, [255] * 3],
    }
    for text, table in tables.items():
        if len(table) == len(classes) and all([*colour] in table for colour in colours):
            return text, {"colors": dict(zip(classes, table, strict=True))}
    named = {f"name_{i}": [*colour] for i, colour in enumerate(colours, 1)}
    return (
        "label files hold colours, the most common first; put the names of their classes, or "
        '"ignore", in place of name_1, ...',
        {"colors": named},
    )


def count_colours(looks: list[Look]) -> Counter[tuple[int, int, int]]:
    """Pixels of each RGB colour in the label files that could not be read as labels."""
    found: Counter[tuple[int, int, int]] = Counter()
    failed = [look for look in looks if look.problem and look.entry.label]
    for look in failed[:READ]:
        try:
            label = read_label(look.entry.label)
        except UserError:
            continue
        if label.ndim == 3 and label.dtype == np.uint8:
            codes, counts = np.unique(codes_of(label), return_counts=True)
            for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
                found[tuple(colour_of(code))] += count
    return found
