"""Semantic labels."""

from __future__ import annotations

from torch import Tensor

from utils.clustering.labeler import LABELERS, Labeler, output_of


@LABELERS.register
class Argmax(Labeler):
    """The class with the highest score at each pixel; of one channel, class 1 where it is above 0.

    Args:
        output: Name of the model's output to read.
    """

    cheap = True
    pixelwise = True

    def __init__(self, output: str = "out"):
        self.output = output
        self.scores = (output,)

    def __call__(self, outputs: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        scores = output_of(outputs, self.output)
        labels = scores.argmax(dim=1) if scores.shape[1] > 1 else (scores[:, 0] > 0).long()
        return labels if mask is None else labels * mask
