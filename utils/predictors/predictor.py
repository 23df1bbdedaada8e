"""The promise of every predictor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from torch import Tensor, nn

from utils.registry import Registry

PREDICTORS = Registry("predictor", supplied=("scores",))


class Predictor(ABC):
    """Runs a model over images of any size.

    A predictor that averages several predictions of a pixel has a constructor argument `scores`,
    which the program passes: the names of the outputs that the run's labeler reads as class scores.
    Those are averaged as probabilities and given back as their logarithm, so that whoever reads
    scores goes on working; all other outputs, such as embeddings, are averaged as they are.

    Attributes:
        bands: Method that gives the outputs band by band where the predictor can, as `Sliding`'s;
            or None.
    """

    bands: Callable[..., Iterator[tuple[int, dict[str, Tensor]]]] | None = None

    @abstractmethod
    def __call__(self, model: nn.Module, image: Tensor) -> dict[str, Tensor]:
        """Map `image` (B, in_channels, H, W) to the model's outputs, each (B, C, H, W) float32.

        The model is in evaluation mode and no gradient is taken.
        """
