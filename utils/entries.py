"""Long lists of entries in two arrays, so that the memory of workers does not grow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from utils.sample import Entry

NONE = b"\x00"  # no file name and no text of ours holds it
KINDS = (str, Path, Path, Path, str)  # of the fields of Entry, in order


class EntryList(Sequence):
    """Entries, kept as bytes and made again when asked for.

    Reading a Python object counts its references, which writes to it; a worker that shares its
    memory with the main process gets a copy of each page that it writes to. Two arrays stay shared.

    Args:
        entries: What a data set lists.
    """

    def __init__(self, entries: Iterable[Entry]):
        parts = [
            NONE if value is None else os.fsencode(value) for entry in entries for value in entry
        ]
        self.ends = np.array([0, *accumulate(map(len, parts))], np.int64)
        self.bytes = np.frombuffer(b"".join(parts), np.uint8)

    def __len__(self) -> int:
        return (len(self.ends) - 1) // len(KINDS)

    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]  # negative ones, and the error of those out of range
        first = index * len(KINDS)
        ends = self.ends[first : first + len(KINDS) + 1].tolist()
        found = [self.bytes[a:b].tobytes() for a, b in zip(ends, ends[1:], strict=False)]
        return Entry(
            *(
                None if part == NONE else kind(os.fsdecode(part))
                for kind, part in zip(KINDS, found, strict=True)
            )
        )
