"""Embeddings for `cluster.py`."""

from __future__ import annotations

from pathlib import Path

from utils.errors import UserError
from utils.writers.hdf5 import writing
from utils.writers.writer import Result, Task, Writer, ending

NAMES = {"out": "embeddings1", "embedding": "embeddings1", "teacher": "embeddings2"}


def write_embeddings(path: Path, result: Result) -> None:
    """`/raw` (C, H, W), `/embeddings1` and, of a moving average, `/embeddings2` (E, H, W)."""
    with writing(path) as file:
        raw = result.image.transpose(2, 0, 1)
        file.create_dataset("raw", data=raw, compression="gzip")
        for name, output in result.outputs.items():
            if name in NAMES and name not in result.task.scores:
                file.create_dataset(NAMES[name], data=output.numpy(), compression="gzip")


def check(task: Task) -> None:
    if task.target != "instance":
        raise UserError(
            "this model labels classes; --save embeddings is for one trained on embeddings"
        )


EMBEDDINGS = Writer(
    "embeddings of each pixel, HDF5",
    ending("_predictions.h5"),
    write_embeddings,
    outputs=True,
    check=check,
)
