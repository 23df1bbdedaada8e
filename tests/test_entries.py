"""Entries kept in arrays come back as they were."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from utils.entries import EntryList
from utils.sample import Entry

ENTRIES = [
    Entry("a"),
    Entry("b/ü 1", Path("x/b.png"), Path("/y/b.png")),
    Entry("c", Path(os.fsdecode(b"bad\xff.png")), None, Path("i.png"), '{"lanes": []}'),
    Entry("", None, None, None, ""),
]


def test_they_come_back():
    kept = EntryList(iter(ENTRIES))
    assert len(kept) == 4 and list(kept) == ENTRIES
    assert kept[-1] == ENTRIES[-1] and kept[1:3] == ENTRIES[1:3] and ENTRIES[2] in kept
    assert list(pickle.loads(pickle.dumps(kept))) == ENTRIES
    assert all(type(a) is type(b) for a, b in zip(kept[1], ENTRIES[1], strict=True))
    with pytest.raises(IndexError):
        kept[4]


def test_none():
    assert not EntryList([]) and list(EntryList([])) == []


def test_memory():
    """Bytes of text and eight more a field."""
    many = EntryList(Entry(f"{i:05}", Path(f"images/{i:05}.png")) for i in range(1000))
    assert many.bytes.nbytes + many.ends.nbytes == 1000 * (5 + 16 + 3) + 8 * 5001
