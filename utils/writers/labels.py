"""Label maps as images: with colours for people, bare for programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from utils.errors import UserError
from utils.image_io import write_png
from utils.writers.writer import Result, Writer, always, ending, needs_target


def as_ids(labels: np.ndarray, path: Path) -> np.ndarray:
    """Labels as uint8, or uint16 where they do not fit.

    Raises:
        UserError: If they fit neither.
    """
    highest = int(labels.max(initial=0))
    if highest > np.iinfo(np.uint16).max:
        raise UserError(f"{path} cannot be written: label {highest} is above 65535, a PNG's most")
    return labels.astype(np.uint8 if highest < 256 else np.uint16, copy=False)


def write_palette(path: Path, result: Result) -> None:
    write_png(path, as_ids(result.labels, path), result.task.palette)


def write_ids(path: Path, result: Result) -> None:
    write_png(path, as_ids(result.labels, path))


PALETTE = Writer("label ids with colours as palette", ending(".png"), always(write_palette))
IDS = Writer("label ids, without colours", ending("_ids.png"), always(write_ids))
INSTANCES = Writer(
    "object ids, 0 is background",
    ending("_instances.png"),
    always(write_ids),
    check=needs_target("instance"),
)
