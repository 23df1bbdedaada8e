"""A look at every sample of a data set: its size, its labels, its objects, its picture."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from base.base_dataset import BaseDataset
from utils.errors import UserError
from utils.image_io import read_label
from utils.sample import Entry

THREADS = 8


@dataclass(frozen=True)
class Look:
    """What one sample was found to hold.

    Attributes:
        entry: The sample.
        problem: Why it cannot be read; the rest is empty then.
        labelled: It has every target of its data set.
        size: Height and width of its image.
        values: Pixels of each semantic label.
        stored: What the label file holds for each of them that is neither a class nor ignored,
            where it holds another number.
        areas: Pixels of each object.
        picture: Digest of the image's pixels, equal for equal pictures in whatever format.
    """

    entry: Entry
    problem: str | None = None
    labelled: bool = True
    size: tuple[int, int] = (0, 0)
    values: dict[int, int] = field(default_factory=dict)
    stored: dict[int, int] = field(default_factory=dict)
    areas: tuple[int, ...] = ()
    picture: bytes = b""

    @property
    def image(self) -> str:
        """The image file, or the name of what has none."""
        return str(self.entry.image or self.entry.name)

    @property
    def label(self) -> str:
        """The label file, or the name of what has none."""
        return str(self.entry.label or self.entry.name)


def survey(dataset: BaseDataset) -> list[Look]:
    """A look at each sample, in order, with a progress bar."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, THREADS)) as pool:
        looks = tqdm(
            pool.map(lambda entry: look(dataset, entry), dataset.entries),
            total=len(dataset),
            desc=f"checking {dataset.split or type(dataset).__name__}",
            unit="img",
            leave=False,
            disable=None,
        )
        return list(looks)


def look(dataset: BaseDataset, entry: Entry) -> Look:
    """What one sample holds, or the sentence that says what is wrong with its files."""
    try:
        sample = dataset.read(entry)
    except UserError as error:
        return Look(entry, problem=str(error))
    values: dict[int, int] = {}
    stored: dict[int, int] = {}
    areas: tuple[int, ...] = ()
    if "semantic" in sample.maps:
        found, counts = np.unique(sample.maps["semantic"], return_counts=True)
        values = dict(zip(found.tolist(), counts.tolist(), strict=True))
        stored = stored_values(dataset, entry, sample.maps["semantic"], values)
    if "instance" in sample.maps:
        ids = sample.maps["instance"]
        areas = tuple(np.unique(ids[ids > 0], return_counts=True)[1].tolist())
    return Look(
        entry,
        labelled=all(name in sample.maps for name in dataset.targets),
        size=sample.image.shape[:2],
        values=values,
        stored=stored,
        areas=areas,
        picture=digest(sample.image),
    )


def stored_values(
    dataset: BaseDataset, entry: Entry, labels: np.ndarray, values: Iterable[int]
) -> dict[int, int]:
    """What a label file holds for those of the values that are neither a class nor ignored.

    Nothing where the number is the same, or the file is no picture of numbers.
    """
    strays = {*values} - {dataset.ignore_index, *range(len(dataset.classes))}
    if not strays or entry.label is None:
        return {}
    try:
        file = read_label(entry.label)
    except UserError:  # another kind of file, which the data set itself can read
        return {}
    if file.shape != labels.shape:
        return {}
    found, first = np.unique(labels, return_index=True)
    pairs = zip(found.tolist(), file.ravel()[first].tolist(), strict=True)
    return {value: number for value, number in pairs if value in strays and number != value}


def digest(image: np.ndarray) -> bytes:
    """16 bytes that differ for images of other pixels, size or depth."""
    found = hashlib.blake2b(repr((image.shape, image.dtype.str)).encode(), digest_size=16)
    found.update(np.ascontiguousarray(image))
    return found.digest()


def class_pixels(looks: list[Look], classes: int) -> list[int]:
    """Pixels of each class in all samples."""
    return [sum(look.values.get(c, 0) for look in looks) for c in range(classes)]
