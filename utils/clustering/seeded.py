"""Instances around known pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from utils.clustering.embedding_labeler import check_size, embedding_of
from utils.clustering.ground_labeler import refuse_not_positive
from utils.clustering.labeler import LABELERS, Labeler
from utils.clustering.spread import nearest_point
from utils.errors import UserError


@LABELERS.register
@dataclass(kw_only=True, eq=False)
class Seeded(Labeler):
    """The objects of known pixels: clicks, strokes, or the labels of another image region.

    The mask says which pixels are known: the number of their object there, 0 elsewhere. A pixel
    belongs to the object whose known pixels have the nearest mean embedding, if it is within the
    radius; the known pixels stay what they are. The result has the mask's numbers.

    Args:
        output: Name of the embedding among the model's outputs.
        delta_var: Radius of an instance in the embedding; a discriminative loss tells its own.
        radius: In units of the embedding; delta_var where it is not given.
    Shape:
        outputs[output] (B, E, H, W), mask (B, H, W) -> (B, H, W) int64.
    Raises:
        ValueError: If delta_var or radius is not above 0.
        UserError: From a call without a mask.
    """

    needs_mask: ClassVar[bool] = True

    output: str = "out"
    delta_var: float = 0.5
    radius: float | None = None

    def __post_init__(self) -> None:
        refuse_not_positive(delta_var=self.delta_var, radius=self.radius)

    def __call__(self, outputs: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """Objects of `outputs` as (B, H, W) int64, by the numbers in `mask` (B, H, W)."""
        if mask is None:
            raise UserError(
                "Seeded needs known pixels: call it from Python with a mask of object numbers, or "
                "take a labeler that needs none, such as MeanShift"
            )
        embedding = embedding_of(outputs, self.output)
        check_size(mask.shape, (len(embedding), *embedding.shape[2:]), "the mask")
        known = mask.long().to(embedding.device)
        return torch.stack([self._image(*pair) for pair in zip(embedding, known, strict=True)])

    def _image(self, embedding: Tensor, known: Tensor) -> Tensor:
        numbers = known[known > 0].unique()
        if not len(numbers):
            return torch.zeros_like(known)
        means = torch.stack([embedding[:, known == number].mean(1) for number in numbers])
        distance, nearest = nearest_point(embedding.flatten(1), means)
        radius = self.delta_var if self.radius is None else self.radius
        labels = (numbers[nearest] * (distance < radius)).view_as(known)
        return torch.where(known > 0, known, labels)
