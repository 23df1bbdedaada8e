"""Embeddings for `cluster.py`, and as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from utils.clustering import Argmax
from utils.embeddings_file import ENDING, write_embeddings
from utils.errors import UserError
from utils.image_io import write_png
from utils.outputs import beside
from utils.pca import PrincipalComponents
from utils.writers.writer import Result, Task, Writer, ending

ENDINGS = {"embeddings1": "_predictions_1.png", "embeddings2": "_predictions_2.png"}


def embeddings_of(result: Result) -> dict[str, np.ndarray]:
    """The embedding among the outputs, and its teacher's, each (E, H, W)."""
    own = result.task.embedding
    names = {"embeddings1": own, "embeddings2": beside("teacher", own)}
    outputs = result.outputs
    return {key: outputs[name].numpy() for key, name in names.items() if name in outputs}


def semantic_of(result: Result) -> np.ndarray | None:
    """Classes (H, W) uint8 by the head for them, where the model has one."""
    if not result.task.scores:
        return None
    name = result.task.scores[0]
    return Argmax(name)({name: result.outputs[name][None]})[0].numpy().astype(np.uint8)


class EmbeddingWriter:
    """`/raw`, `/embeddings1`, of a mean teacher `/embeddings2`, of a head for classes `/semantic`.

    Beside it the principal components of the embeddings as pictures.

    The components are those of the first image whose embedding varies, so that colours mean the
    same in a whole folder; they are kept in it, for a later run that goes on with it.

    Args:
        folder: Where results go.
        go_on: Take the components that an earlier run left there.
    """

    def __init__(self, folder: Path, go_on: bool = False):
        self.folder, self.go_on = folder, go_on
        self.components: dict[str, PrincipalComponents] = {}

    def __call__(self, path: Path, result: Result) -> None:
        found = embeddings_of(result)
        for name, embedding in found.items():
            if name not in self.components or self.components[name].flat:
                self.components[name] = self.fit(name, embedding)
            picture = path.with_name(path.name.removesuffix(ENDING) + ENDINGS[name])
            write_png(picture, self.components[name].colors(embedding))
        write_embeddings(path, result.image, found, semantic_of(result), result.task.told)

    def fit(self, name: str, embedding: np.ndarray) -> PrincipalComponents:
        """The folder's components where there are any that fit, else those of the embedding."""
        path = self.folder / f"{name}_colours.npz"
        if self.go_on:
            kept = PrincipalComponents.load(path)
            if kept is not None and len(kept.mean) == len(embedding):
                return kept
        found = PrincipalComponents([embedding])
        if not found.flat:
            found.save(path)
        return found


def check(task: Task) -> None:
    if task.embedding is None:
        raise UserError(
            "this model labels classes; --save embeddings is for one trained on embeddings"
        )


EMBEDDINGS = Writer(
    "embeddings of each pixel, HDF5, and their principal components as PNG",
    ending(ENDING),
    begin=EmbeddingWriter,
    outputs=True,
    in_order=True,
    check=check,
)
