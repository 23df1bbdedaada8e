"""Semantic labels."""

from __future__ import annotations

from torch import Tensor

from utils.clustering.labeler import LABELERS, Labeler


@LABELERS.register
class Argmax(Labeler):
    """The class with the highest score at each pixel.

    Args:
        output: Name of the model's output to read.
    """

    cheap = True

    def __init__(self, output: str = "out"):
        self.output = output

    def __call__(self, outputs: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        labels = outputs[self.output].argmax(dim=1)
        return labels if mask is None else labels * mask
