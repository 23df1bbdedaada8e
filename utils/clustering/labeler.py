"""The promise of every labeler."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from utils.registry import Registry

LABELERS = Registry("labeler")


class Labeler(ABC):
    """Turns a model's maps into one label map.

    Attributes:
        cheap: Fast enough to label training batches for the progress bar.
        pixelwise: Labels each pixel from its own channels alone, so that an image may be labelled
            in parts.
        scores: Names of the outputs it reads as class scores. Predictors that average several
            predictions average these as probabilities.
    """

    cheap = False
    pixelwise = False
    scores: tuple[str, ...] = ()

    @abstractmethod
    def __call__(self, outputs: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """Label `outputs` (each (B, C, H, W)) as (B, H, W) int64.

        Args:
            outputs: The model's maps by name.
            mask: (B, H, W) bool; pixels outside it become 0.
        """
