"""What is wrong with a data set, one sentence each, and what may be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from base.base_dataset import BaseDataset
from dataloaders.survey.look import Look, class_pixels
from dataloaders.survey.pieces import hint_at_classes

NAMED = 3  # values of a label file
LISTED = 10  # classes without a pixel


class Fault(NamedTuple):
    """One thing to mend.

    Attributes:
        kind: "data set", "unpaired", "file", "unlabelled", "value" or "duplicate".
        text: A sentence that names the file.
        sample: Name of the sample, where it is one's.
    """

    kind: str
    text: str
    sample: str | None = None


def faults(dataset: BaseDataset, looks: list[Look]) -> list[Fault]:
    """What keeps a data set from being trained on or scored, in the order of its samples."""
    found = [Fault("file", look.problem, look.entry.name) for look in looks if look.problem]
    found += unlabelled(looks)
    if dataset.ignore_index == 255 and is_mask(dataset, looks):
        text = "every label file holds 0 and 255 alone, and 255 is ignored"
        return [*found, Fault("value", text)]
    return [*found, *stray_values(dataset, looks)]


def unlabelled(looks: list[Look]) -> list[Fault]:
    """Images without a label; one sentence where none has any."""
    bare = [look for look in looks if not look.labelled]
    why = "it can be neither trained on nor scored; inference.py predicts it"
    if len(bare) == len(looks) > 1:
        text = f"none of the {len(looks)} images, such as {bare[0].image}, has a label: "
        return [Fault("unlabelled", text + why.replace("it ", "they ", 1).replace(" it", " them"))]
    return [
        Fault("unlabelled", f"{look.image} has no label: {why}", look.entry.name) for look in bare
    ]


def is_mask(dataset: BaseDataset, looks: list[Look]) -> bool:
    """The label files of two classes hold 0 and 255 throughout, and a "remap" may change them."""
    values = {value for look in looks for value in look.values}
    return len(dataset.classes) == 2 and values == {0, 255} and gives_stored(dataset)


def gives_stored(dataset: BaseDataset) -> bool:
    """Labels are the values of the files, in all parts, and there is a "remap" to change them."""
    if hasattr(dataset, "parts"):
        return all(gives_stored(part) for part in dataset.parts.datasets)
    return getattr(dataset, "remap", None) == {} and not getattr(dataset, "colors", None)


def stray_values(dataset: BaseDataset, looks: list[Look]) -> Iterator[Fault]:
    """A sentence for each label file with values that are neither a class nor ignored."""
    classes = len(dataset.classes)
    for look in looks:
        found = strays(dataset, look)
        if found:
            common = sorted(found, key=found.get, reverse=True)[:NAMED]
            named = ", ".join(counted(look, value) for value in common)
            named += f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
            are = "value {} is not one" if len(found) == 1 else "values {} are none"
            yield Fault(
                "value",
                f"{look.label}: label {are.format(named)} of the {classes} classes, "
                f"0 to {classes - 1}, nor ignored ({dataset.ignore_index})",
                look.entry.name,
            )


def counted(look: Look, value: int) -> str:
    """A value as the label file holds it, with its pixels."""
    count, stored = look.values[value], look.stored.get(value)
    pixels = f"{count} pixel{'' if count == 1 else 's'}"
    return f"{value} ({pixels})" if stored is None else f"{stored} ({pixels}, read as {value})"


def strays(dataset: BaseDataset, look: Look) -> dict[int, int]:
    """Pixels of each value that is neither a class nor ignored."""
    known = {dataset.ignore_index, *range(len(dataset.classes))}
    return {value: count for value, count in look.values.items() if value not in known}


def doubts(dataset: BaseDataset, looks: list[Look]) -> list[str]:
    """What may be meant so, and is worth a look: a sentence each."""
    found = []
    labelled = [look for look in looks if look.labelled and not look.problem]
    if not labelled:
        return found
    if "semantic" in dataset.targets:
        pixels = class_pixels(looks, len(dataset.classes))
        absent = [
            name
            for number, name in enumerate(dataset.classes)
            if not pixels[number] and number not in dataset.unscored
        ]
        if absent:
            more = f" and {len(absent) - LISTED} more" if len(absent) > LISTED else ""
            found.append(f"no pixel of {', '.join(absent[:LISTED])}{more}")
        void = [look for look in labelled if look.values.keys() == {dataset.ignore_index}]
        if void:
            files = "1 label file is" if len(void) == 1 else f"{len(void)} label files are"
            found.append(f"{files} ignored in every pixel, such as {void[0].label}")
    if "instance" in dataset.targets:
        files = [look for look in labelled if look.entry.label]
        if files and not any(look.areas for look in files):
            found.append("no object in any label file" + kept_by(dataset))
        hint = hint_at_classes(dataset, [look.entry for look in labelled])
        found += [hint] if hint else []
    return found


def kept_by(dataset: BaseDataset) -> str:
    """What a share of the objects that is too small for every image has to do with it."""
    ratio = getattr(dataset, "instance_ratio", None)
    small = ratio is not None and ratio < 1
    return f", of which instance_ratio {ratio} keeps none: raise it" if small else ""


def repeats(looks: list[Look]) -> list[str]:
    """A sentence for each picture that two or more images of a split show."""
    files: defaultdict[bytes, dict[str, None]] = defaultdict(dict)  # Repeat lists a file again
    for look in looks:
        if look.picture:
            files[look.picture][look.image] = None
    sentences = []
    for first, *others in files.values():
        if others:
            more = f" and {len(others) - 1} more" if len(others) > 1 else ""
            sentences.append(f"{first} and {others[0]}{more} show the same picture")
    return sentences


def duplicates(splits: Mapping[str, list[Look]]) -> dict[str, list[Fault]]:
    """For each split the images whose picture an earlier split has too."""
    first: dict[bytes, tuple[str, Look]] = {}
    found: dict[str, list[Fault]] = {}
    for split, looks in splits.items():
        found[split] = []
        for look in looks:
            other, twin = first.setdefault(look.picture, (split, look))
            if look.picture and other != split:
                where = f"is in {other} too"
                if twin.image != look.image:
                    where = f"shows the same picture as {twin.image} of {other}"
                text = f"{look.image} {where}; keep it in one of {other} and {split}"
                found[split].append(Fault("duplicate", text, look.entry.name))
    return found
