"""A look at every file of a data set before training, remembered until a file changes."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import NamedTuple

from base.base_dataset import BaseDataset
from dataloaders.survey.faults import doubts, faults
from dataloaders.survey.hints import hints
from dataloaders.survey.look import Look, class_pixels, survey
from utils.errors import UserError
from utils.fingerprint import files_of, settings_of, stamp

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


def check_dataset(dataset: BaseDataset, skip: bool = False) -> Checked:
    """What every file holds, after all were read and every label found to be a class.

    The result is kept in `$XDG_CACHE_HOME/segforge` under a key of the data set's settings and its
    files' names, sizes and times.

    Args:
        dataset: With its files.
        skip: Files that cannot be read are named in a warning, and the others counted.

    Raises:
        UserError: Naming the files that cannot be read, whose image and label differ in size, or
            whose labels hold values that are no class; and what would mend it.
    """
    try:
        return Checked(**json.loads(cache_file(dataset).read_text()))
    except (ValueError, TypeError, OSError):
        pass  # not looked at yet, or damaged
    looks = survey(dataset)
    found = faults(dataset, looks)
    name = f"{type(dataset).__name__} {dataset.split or ''}".strip()
    bad = [fault for fault in found if skip and fault.kind == "file"]
    if len(bad) == len(looks):
        bad = []  # so many are no accident
    found = [fault for fault in found if fault not in bad]
    if found:
        lines = [fault.text for fault in found[:SHOWN]]
        if len(found) > SHOWN:
            lines.append(f"and {len(found) - SHOWN} more; tools/check_data.py lists them all")
        lines += map(str, hints(dataset, looks))
        raise UserError(
            f"{name}: {len(found)} {'problem' if len(found) == 1 else 'problems'} in "
            f"{dataset.data_dir}:\n  " + "\n  ".join(lines)
        )
    for doubt in doubts(dataset, looks):
        log.warning("%s: %s", name, doubt)
    if not bad:
        return remember(dataset, looks)
    more = [f"and {len(bad) - SHOWN} more"] if len(bad) > SHOWN else []
    lines = "\n  ".join([*(fault.text for fault in bad[:SHOWN]), *more])
    log.warning("%s: %d of %d samples are skipped:\n  %s", name, len(bad), len(looks), lines)
    return measure(dataset, looks)


def measure(dataset: BaseDataset, looks: list[Look]) -> Checked:
    """What the looks at files that can be read found."""
    sound = [index for index, look in enumerate(looks) if not look.problem]
    extremes = {
        choose(sound, key=lambda index: looks[index].size[side])
        for choose in (min, max)
        for side in (0, 1)
    }
    return Checked(class_pixels(looks, len(dataset.classes)), sorted(extremes))


def remember(dataset: BaseDataset, looks: list[Look]) -> Checked:
    """Keep what a look at sound files found, so that `check_dataset` need not look again."""
    checked = measure(dataset, looks)
    cache = cache_file(dataset)
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text(json.dumps(checked._asdict()))
    except OSError:
        pass  # a read-only home only costs the time of looking again
    return checked


def cache_file(dataset: BaseDataset) -> Path:
    """Where the result for this data set, as its files are now, is kept."""
    key = hashlib.sha256(settings_of(dataset))
    for entry in dataset.entries:
        key.update(os.fsencode(entry.name))
        for path in files_of(entry):
            key.update(os.fsencode(f"{path.absolute()} {stamp(path)}"))
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "segforge" / f"{key.hexdigest()[:32]}.json"
