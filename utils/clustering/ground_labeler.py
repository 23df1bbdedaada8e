"""Labelers that cluster homogeneous ground alone: what becomes of the pixels between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from utils.checks import finite
from utils.clustering.embedding_labeler import EmbeddingLabeler


@dataclass(kw_only=True, eq=False)
class GroundLabeler(EmbeddingLabeler):
    """A clustering of 3x3 windows that no border runs through, carried to the pixels like them.

    Args:
        delta_var: Radius of an instance in the embedding; a discriminative loss tells its own.
        border: Where pixels go that no cluster has in its radius, and those that are like a cluster
            by chance, far from its ground: to the "nearest" object in the image, or to the
            "background". "background" for objects that come out too large, with a rim of ground
            around them.
        seed: Of the sample.
    """

    delta_var: float = 0.5
    border: Literal["nearest", "background"] = "nearest"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_not_positive(delta_var=self.delta_var)


def refuse_not_positive(**values: float | None) -> None:
    finite(**values)
    for name, value in values.items():
        if value is not None and value <= 0:
            raise ValueError(f"{name} is {value}; it must be above 0")


def refuse_no_share(**values: float | None) -> None:
    for name, value in values.items():
        if value is None or not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}; it goes from 0 to 1")
