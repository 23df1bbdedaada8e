"""What tells that something kept from a data set still holds: its settings, code and files."""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from torch.utils.data import ConcatDataset

from utils.sample import Entry

PLAIN = (str, int, float, list, tuple, dict, type(None))
AFTERWARDS = ("transform", "normalization", "seed", "cache")  # what `prepare` sets: after reading


def settings_of(dataset: Any) -> bytes:
    """A digest of how a data set reads its files: its class, its arguments, its code, its parts."""
    settings = {
        key: value
        for key, value in vars(dataset).items()
        if isinstance(value, PLAIN) and key not in AFTERWARDS
    }
    key = hashlib.sha256()
    key.update(repr((type(dataset).__name__, sorted(settings.items(), key=str))).encode())
    for path in code_of(type(dataset)):  # other code may read the same files otherwise
        key.update(path.read_bytes())
    for value in vars(dataset).values():
        if isinstance(value, ConcatDataset):
            for part in dict.fromkeys(value.datasets):
                key.update(settings_of(part))
    return key.digest()


def code_of(kind: type) -> list[Path]:
    """The files that a data set's class is written in, and those of the functions they import."""
    names = {cls.__module__ for cls in kind.__mro__ if hasattr(cls, "list_entries")}
    values = [value for name in names for value in vars(sys.modules[name]).values()]
    names |= {value.__module__ for value in values if inspect.isfunction(value)}
    files = [getattr(sys.modules.get(name), "__file__", None) for name in sorted(names)]
    return [Path(file) for file in files if file]


def files_of(entry: Entry) -> list[Path]:
    """The files of an entry."""
    return [value for value in entry if isinstance(value, Path)]


def stamp(path: Path) -> str:
    """Size and time of a file, or of all files of a folder; empty for what is not there."""
    try:
        stat = os.stat(path)
        if S_ISDIR(stat.st_mode):
            return " ".join(f"{file.name} {stamp(file)}" for file in sorted(path.iterdir()))
    except OSError:
        return ""
    return f"{stat.st_size} {stat.st_mtime_ns}"
