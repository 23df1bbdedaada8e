"""The promise of every labeler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from torch import Tensor

from utils.errors import UserError
from utils.registry import Registry

LABELERS = Registry("labeler")
Output = TypeVar("Output")


class Labeler(ABC):
    """Turns a model's maps into one label map.

    Attributes:
        cheap: Fast enough to label training batches for the progress bar.
        pixelwise: Labels each pixel from its own channels alone, so that an image may be labelled
            in parts.
        scores: Names of the outputs it reads as class scores. Predictors that average several
            predictions average these as probabilities.
        needs_mask: Works from a mask alone, which only a call from Python gives.
    """

    cheap = False
    pixelwise = False
    scores: tuple[str, ...] = ()
    needs_mask = False

    @abstractmethod
    def __call__(self, outputs: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """Label `outputs` (each (B, C, H, W)) as (B, H, W) int64.

        Args:
            outputs: The model's maps by name.
            mask: (B, H, W) bool; pixels outside it become 0.
        """


def output_of(outputs: dict[str, Output], name: str) -> Output:
    """What is known of the output of that name.

    Raises:
        UserError: If there is none.
    """
    if name not in outputs:
        there = ", ".join(f'"{key}"' for key in outputs)
        raise UserError(f'the labeler reads the output "{name}"; the model gives {there}')
    return outputs[name]
