"""Decoded samples kept on disk or in shared memory, and read back without copying.

A file holds one sample: the length of a header, the header as JSON, then the arrays. It is mapped
into memory, so a crop reads its own rows only, and workers share what one of them has read.
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np

from utils.errors import UserError
from utils.fingerprint import files_of, settings_of, stamp
from utils.sample import Entry, Sample

SHARED_MEMORY = Path("/dev/shm")
ALIGNMENT = 64


class CacheError(UserError):
    """The cache cannot be written."""


class SampleCache:
    """Samples by entry, made again when a file of theirs changes.

    A file is written under another name and then renamed, so any number of workers and processes
    may share a folder.

    Args:
        folder: Where the files lie; made when the first one is written.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, entry: Entry, read: Callable[[Entry], Sample]) -> Sample:
        """The sample of an entry; its arrays are read-only, label maps in their smallest type.

        Args:
            entry: What to look for.
            read: Makes the sample where it is not there.

        Raises:
            CacheError: If it cannot be written.
        """
        name = hashlib.sha256("\n".join(map(str, entry)).encode("utf-8", "surrogateescape"))
        path = self.folder / f"{name.hexdigest()[:32]}.sample"
        stamps = [stamp(file) for file in files_of(entry)]
        sample = load(path, stamps)
        if sample is None:
            sample = read(entry)
            self._store(path, sample, stamps)
        return sample

    def _store(self, path: Path, sample: Sample, stamps: list[str]) -> None:
        written = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
                written = file.name
                for part in packed(sample, stamps):
                    file.write(part)
            os.replace(written, path)
        except OSError as error:
            if written is not None:
                Path(written).unlink(missing_ok=True)
            raise CacheError(
                f"the cache in {self.folder} cannot be written: {error.strerror or error}; make "
                'room there, give another cache_dir, or leave "cache" out'
            ) from error


def packed(sample: Sample, stamps: list[str]) -> list[bytes | memoryview]:
    """A sample as the parts of a file.

    Its `meta` holds plain values and arrays.
    """
    arrays = {"image": sample.image}
    arrays |= {f"maps.{name}": smallest(labels) for name, labels in sample.maps.items()}
    plain = {}
    for key, value in sample.meta.items():
        if isinstance(value, np.ndarray):
            arrays[f"meta.{key}"] = value
        else:
            plain[key] = value
    places, offset = {}, 0
    for name, array in arrays.items():
        places[name] = [array.dtype.str, array.shape, offset]
        offset += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    header: dict[str, Any] = {"name": sample.name, "stamps": stamps, "meta": plain}
    header |= {"arrays": places, "bytes": offset}
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    parts: list[bytes | memoryview] = [len(text).to_bytes(8, "little"), text]
    for array in arrays.values():
        parts += [np.ascontiguousarray(array).data, bytes(-array.nbytes % ALIGNMENT)]
    return parts


def load(path: Path, stamps: list[str]) -> Sample | None:
    """The sample in a file; None where there is none, it is damaged, or of files that changed."""
    try:
        with open(path, "rb") as file:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start = 8 + int.from_bytes(view[:8], "little")
        header = json.loads(view[8:start])
    except (OSError, ValueError):
        return None
    if header["stamps"] != stamps or len(view) != start + header["bytes"]:
        return None
    sample = Sample(header["name"], np.empty(0), {}, meta=header["meta"])
    for key, (kind, shape, offset) in header["arrays"].items():
        count = int(np.prod(shape))
        array = np.frombuffer(view, kind, count, start + offset).reshape(shape)
        part, _, key = key.partition(".")
        if part == "image":
            sample.image = array
        else:
            getattr(sample, part)[key] = array
    return sample


def smallest(labels: np.ndarray) -> np.ndarray:
    """The same ids in the smallest type that holds them."""
    low, high = int(labels.min()), int(labels.max())
    limits = map(np.iinfo, (np.uint8, np.uint16, np.int16, np.int32))
    return labels.astype(next(i.dtype for i in limits if i.min <= low and high <= i.max))


def make_cache(
    dataset: Any,
    cache: Literal["disk", "ram"] | None = None,
    cache_dir: str | None = None,
) -> SampleCache | None:
    """The `cache` key of a loader.

    Args:
        dataset: Whose samples are kept.
        cache: Keep decoded images and labels, "disk" for good or "ram" in memory that workers and
            processes share, for as long as the run lasts.
        cache_dir: Folder for "disk"; `$XDG_CACHE_HOME/segforge/samples` without it.

    Raises:
        UserError: If the system has no shared memory, or cache_dir is given without "disk".
    """
    if cache_dir is not None and cache != "disk":
        raise UserError('cache_dir is read with "cache": "disk" alone; leave it out')
    if cache is None:
        return None
    key = hashlib.sha256(settings_of(dataset)).hexdigest()[:32]
    if cache == "ram":
        return SampleCache(shared_folder(key))
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return SampleCache(Path(cache_dir or home / "segforge" / "samples").expanduser() / key)


def shared_folder(key: str) -> Path:
    """A folder in shared memory, which the last process of ours that uses it takes away.

    The folders of runs that were killed go when the next one comes.
    """
    if not SHARED_MEMORY.is_dir():
        raise UserError(f'"cache": "ram" needs {SHARED_MEMORY}; take "disk" on this system')
    folder = SHARED_MEMORY / f"segforge-{os.getuid()}" / key
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    for lock in folder.parent.glob("*.lock"):
        give_back(open(lock, "w"))  # what a run left that was killed
    lock = open(folder.with_suffix(".lock"), "w")  # noqa: SIM115  (held until the process ends)
    fcntl.flock(lock, fcntl.LOCK_SH)
    atexit.register(give_back, lock)
    return folder


def give_back(lock: TextIO) -> None:
    """Close a lock, and take away the folder beside it where no process holds the lock."""
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(Path(lock.name).with_suffix(""), ignore_errors=True)
        except BlockingIOError:
            pass  # another process still reads it
