"""The HDF5 file of one prediction: image and embeddings, later its segmentation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from utils.errors import UserError
from utils.hdf5 import writing

ENDING = "_predictions.h5"
TOLD = ("delta_var", "delta_dist")
HALF_UP_TO = 64  # float16 is at most 0.016 off below; embeddings are told apart by tenths

CLUSTER = "cluster.py adds segmentations"
MADE_BY = {
    "embeddings1": "inference.py --save embeddings writes it",
    "embeddings2": "Consistency needs it: inference.py --save embeddings writes it for models of "
    "the type MeanTeacher; take another labeler for others",
    "gt": "cluster.py --gt-dir adds it",
}


def write_embeddings(
    path: Path,
    raw: np.ndarray,
    embeddings: dict[str, np.ndarray],
    semantic: np.ndarray | None = None,
    told: dict[str, float] | None = None,
) -> None:
    """Write the file of an image; there is the old one, or all of the new one.

    Embeddings are stored as float16, half the size; as float32 where a value is 64 or more away
    from 0. All are chunked in tiles and compressed.

    Args:
        path: `<stem>_predictions.h5`; its folder is made.
        raw: The image, (H, W, C) uint8 or uint16; stored as (C, H, W).
        embeddings: By name, "embeddings1" the network's, "embeddings2" its moving average's; each
            (E, H, W).
        semantic: Classes (H, W) uint8 of a model that tells them too; stored as "semantic".
        told: What the loss tells a labeler, such as delta_var; stored as the file's attributes.

    Raises:
        UserError: If the file cannot be written.
    """
    with writing(Path(path)) as file:
        store(file, "raw", np.moveaxis(raw, -1, 0))
        for name, embedding in embeddings.items():
            half = np.abs(embedding).max(initial=0) < HALF_UP_TO
            store(file, name, embedding.astype(np.float16 if half else np.float32))
        if semantic is not None:
            store(file, "semantic", semantic)
        file.attrs.update(told or {})


def add_datasets(path: Path, added: dict[str, np.ndarray]) -> None:
    """Add data sets to a file, in place of those of the same name.

    The file is written anew beside the old one and then takes its place, so that an interruption
    leaves the old one, and a replaced data set leaves no gap.

    Raises:
        UserError: If the file cannot be read or written.
    """
    with opened(path) as old, writing(path) as file:
        file.attrs.update(old.attrs)
        for name in old:
            if name not in added:
                old.copy(name, file)
        for name, array in added.items():
            store(file, name, array)


def read_dataset(path: Path, name: str) -> np.ndarray:
    """A data set of a file.

    Raises:
        UserError: If the file cannot be read, has no such data set, or the data set is a group,
            holds no numbers, or is empty.
    """
    with opened(path) as file:
        if name not in file:
            there = ", ".join(file) or "nothing"
            raise UserError(
                f"{path} has no data set {name!r}; it holds {there}. {MADE_BY.get(name, CLUSTER)}"
            )
        found = file[name]
        if not isinstance(found, h5py.Dataset):
            raise UserError(f"{path}: /{name} is a group; a data set of numbers is needed")
        if not (found.dtype.kind in "biuf" and found.size):
            raise UserError(
                f"{path}: /{name} holds {found.dtype} of the shape {found.shape}; a map of numbers "
                "is needed"
            )
        return found[()]


def read_map(path: Path, name: str, axes: str) -> np.ndarray:
    """A data set whose shape has so many axes, such as "E, H, W".

    Raises:
        UserError: If it has others, or `read_dataset` refuses it.
    """
    found = read_dataset(path, name)
    if found.ndim != len(axes.split(",")):
        raise UserError(f"{path}: /{name} has the shape {found.shape}; ({axes}) is needed")
    return found


def holds(path: Path, name: str) -> bool:
    """Whether a file has a data set of that name.

    Raises:
        UserError: If the file cannot be read.
    """
    with opened(path) as file:
        return name in file


def read_told(path: Path) -> dict[str, float]:
    """What the loss of a file's network tells a labeler; nothing in files of others.

    Raises:
        UserError: If the file cannot be read, or one of its values is no number.
    """
    with opened(path) as file:
        told = {name: file.attrs[name] for name in TOLD if name in file.attrs}
    for name, value in told.items():
        try:
            told[name] = float(value)
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: its attribute {name} is {value!r}, and no number") from error
    return told


def stem_of(path: Path) -> str:
    """The name of the image a file belongs to."""
    return path.name.removesuffix(ENDING).removesuffix(".h5")


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    if not Path(path).exists():
        raise UserError(f"{path} is not there; inference.py writes such files")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as error:  # of h5py: damage may show only when data is read
        raise UserError(
            f"{path} is not an HDF5 file that can be read ({error}); inference.py writes such files"
        ) from error


def store(file: h5py.File, name: str, array: np.ndarray) -> None:
    tile = (*array.shape[:-2], *(min(side, 128) for side in array.shape[-2:]))
    file.create_dataset(
        name, data=array, chunks=tile, compression="gzip", compression_opts=1, shuffle=True
    )
