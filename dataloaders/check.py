"""A look at every file of a data set before training, remembered until a file changes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from base.base_dataset import BaseDataset
from dataloaders.pieces import hint_at_classes
from utils.errors import UserError
from utils.fingerprint import settings_of, stamp
from utils.sample import Entry

log = logging.getLogger("segforge")

SHOWN = 10


class Checked(NamedTuple):
    """What a look at every file found.

    Attributes:
        counts: Pixels of each class.
        extremes: Indices of the lowest, highest, narrowest and widest image.
    """

    counts: list[int]
    extremes: list[int]


class Seen(NamedTuple):
    """A sample, the pixels of each value of its label, and its height and width."""

    entry: Entry
    histogram: dict[int, int]
    size: tuple[int, int]


def check_dataset(dataset: BaseDataset) -> Checked:
    """What every file holds, after all were read and every label found to be a class.

    The result is kept in `$XDG_CACHE_HOME/segforge` under a key of the data set's settings and its
    files' names, sizes and times.

    Raises:
        UserError: Naming the files that cannot be read, whose image and label differ in size, or
            whose labels hold values that are no class; and what would mend it.
    """
    cache = cache_file(dataset)
    if cache.is_file():
        try:
            return Checked(**json.loads(cache.read_text()))
        except (ValueError, TypeError, OSError):
            pass  # a damaged cache is made anew
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        entries = tqdm(
            pool.map(lambda entry: look(dataset, entry), dataset.entries),
            total=len(dataset),
            desc=f"checking {dataset.split}",
            unit="img",
            leave=False,
            disable=None,
        )
        seen, problems = merge(entries)
    classes = len(dataset.classes)
    problems += stray_values(dataset, seen)
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise UserError(
            f"{type(dataset).__name__} {dataset.split}: {len(problems)} "
            f"{'problem' if len(problems) == 1 else 'problems'} in "
            f"{dataset.data_dir}:\n  " + "\n  ".join(problems[:SHOWN] + more)
        )
    counts = [sum(each.histogram.get(c, 0) for each in seen) for c in range(classes)]
    absent = [name for name, count in zip(dataset.classes, counts, strict=True) if not count]
    if absent and "semantic" in dataset.targets:
        log.warning(
            "%s %s: no pixel of %s", type(dataset).__name__, dataset.split, ", ".join(absent)
        )
    if "instance" in dataset.targets:
        hint_at_classes(dataset)
    sizes = np.array([each.size for each in seen])
    extremes = {int(index) for index in (*sizes.argmin(0), *sizes.argmax(0))}
    checked = Checked(counts, sorted(extremes))
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps(checked._asdict()))
    except OSError:
        pass  # a read-only home only costs the time of looking again
    return checked


def look(dataset: BaseDataset, entry: Entry) -> Seen | str:
    """What one sample holds, or the sentence that says what is wrong with it."""
    try:
        sample = dataset.read(entry)
    except UserError as error:
        return str(error)
    if any(name not in sample.maps for name in dataset.targets):
        return (
            f"{entry.image or entry.name} has no label: it can be neither trained on nor scored; "
            "inference.py predicts it"
        )
    if "semantic" not in sample.maps:
        return Seen(entry, {}, sample.image.shape[:2])
    values, counts = np.unique(sample.maps["semantic"], return_counts=True)
    histogram = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return Seen(entry, histogram, sample.image.shape[:2])


def merge(results: Iterable[Seen | str]) -> tuple[list[Seen], list[str]]:
    seen, problems = [], []
    for result in results:
        (problems if isinstance(result, str) else seen).append(result)
    return seen, problems


def stray_values(dataset: BaseDataset, seen: list[Seen]) -> list[str]:
    """A sentence for each file whose label holds a value that is neither a class nor ignored."""
    classes, ignore = len(dataset.classes), dataset.ignore_index
    values = {value for each in seen for value in each.histogram}
    if classes == 2 and values == {0, 255} and ignore == 255:
        return [
            "every label file holds 0 and 255 alone, and 255 is ignored: for masks whose 255 "
            'is the class 1, add "remap": {"255": 1}'
        ]
    problems = []
    for entry, histogram, _ in seen:
        stray = {v: n for v, n in histogram.items() if v != ignore and not 0 <= v < classes}
        for value, count in stray.items():
            problems.append(
                f"{entry.label or entry.name}: label value {value} ({count} pixels) is not "
                f"one of the {classes} classes, 0 to {classes - 1}, nor ignored ({ignore})"
            )
    return problems


def cache_file(dataset: BaseDataset) -> Path:
    """Where the result for this data set, as its files are now, is kept."""
    key = hashlib.sha256(settings_of(dataset))
    for entry in dataset.entries:
        for path in (entry.image, entry.label):
            if path is not None:
                key.update(f"{path.absolute()} {stamp(path)}".encode())
            else:
                key.update(entry.name.encode())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "segforge" / f"{key.hexdigest()[:32]}.json"
