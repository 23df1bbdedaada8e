"""The promise of every predictor."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from utils.registry import Registry

PREDICTORS = Registry("predictor")


class Predictor(ABC):
    """Runs a model over images of any size."""

    @abstractmethod
    def __call__(self, model: nn.Module, image: Tensor) -> dict[str, Tensor]:
        """Map `image` (B, in_channels, H, W) to the model's outputs, each (B, C, H, W) float32.

        The model is in evaluation mode and no gradient is taken.
        """
