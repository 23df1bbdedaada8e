"""How sure the model is."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from utils.hdf5 import writing
from utils.image_io import write_png
from utils.predictors.probabilities import to_probabilities
from utils.writers.writer import Result, Writer, always, ending, needs_scores


def write_probabilities(path: Path, result: Result) -> None:
    """`/probabilities` (C, H, W) float16; the attribute `classes` holds the names."""
    probabilities = to_probabilities(result.outputs[result.task.scores[0]][None])[0]
    with writing(path) as file:
        data = file.create_dataset(
            "probabilities", data=probabilities.half().numpy(), compression="gzip"
        )
        data.attrs.create("classes", result.task.classes, dtype=h5py.string_dtype())


def write_confidence(path: Path, result: Result) -> None:
    highest = to_probabilities(result.outputs[result.task.scores[0]][None])[0].amax(dim=0)
    write_png(path, (highest * 255).round().numpy().astype(np.uint8))


PROBABILITIES = Writer(
    "float16 probabilities of each class, HDF5",
    ending("_probabilities.h5"),
    always(write_probabilities),
    outputs=True,
    check=needs_scores,
)
CONFIDENCE = Writer(
    "the highest probability, 0 to 255",
    ending("_confidence.png"),
    always(write_confidence),
    outputs=True,
    check=needs_scores,
)
