"""What tells that something kept from a data set still holds: its settings, code and files."""

from __future__ import annotations

import hashlib
import inspect
import os
from pathlib import Path
from typing import Any

from utils.sample import Entry

PLAIN = (str, int, float, list, tuple, dict, type(None))


def settings_of(dataset: Any) -> bytes:
    """A digest of how a data set reads its files: its class, its arguments, its code."""
    settings = {
        key: value
        for key, value in vars(dataset).items()
        if isinstance(value, PLAIN) and key != "seed"
    }
    key = hashlib.sha256()
    key.update(repr((type(dataset).__name__, sorted(settings.items(), key=str))).encode())
    for cls in type(dataset).__mro__:
        if hasattr(cls, "list_entries"):  # other code may read the same files otherwise
            key.update(inspect.getsource(cls).encode())
    return key.digest()


def files_of(entry: Entry) -> list[Path]:
    """The files of an entry."""
    return [value for value in entry if isinstance(value, Path)]


def stamp(path: Path) -> str:
    """Size and time of a file; empty for one that cannot be read."""
    try:
        stat = os.stat(path)
    except OSError:
        return ""
    return f"{stat.st_size} {stat.st_mtime_ns}"
