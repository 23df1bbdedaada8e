"""What labelers of embeddings share: the foreground, the background, small pieces."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from utils.clustering.labeler import Labeler, output_of
from utils.clustering.pieces import by_size, components, without_small
from utils.errors import UserError


@dataclass(kw_only=True, eq=False)
class EmbeddingLabeler(Labeler):
    """Instances of an embedding: 0 is background, 1 to n are objects, the largest first.

    A subclass writes `cluster`, which labels one image. Of two objects of one size the first in
    reading order comes first. Every image is labelled for itself.

    Args:
        output: Name of the embedding among the model's outputs.
        semantic: Name of an output with class scores; where its best class is 0, or of one channel
            the score is not above 0, there are no objects. Without it objects may be anywhere.
        classes: Classes of `semantic` that have objects, in place of all but 0.
        per_class: Cluster the pixels of each class of `semantic` apart from the others.
        min_size: Pixels; a smaller object is none.
        small: Where the pixels of smaller ones go: to the "nearest" object in the image, or to the
            "background".
        remove_largest: Take the largest cluster for background; by default where neither `semantic`
            nor a mask tells the background.
        split_components: Let the connected parts of a cluster be objects of their own; parts below
            `min_size` go where small ones go.
    """

    output: str = "out"
    semantic: str | None = None
    classes: list[int] | None = None
    per_class: bool = False
    min_size: int = 50
    small: Literal["nearest", "background"] = "nearest"
    remove_largest: bool | None = None
    split_components: bool = False

    def __post_init__(self) -> None:
        if self.min_size < 0:
            raise ValueError(f"min_size is {self.min_size}; it must not be negative")
        if self.semantic is None and (self.classes is not None or self.per_class):
            raise ValueError("classes and per_class need semantic, the name of the class scores")
        if self.classes == []:
            raise ValueError("classes is empty; name those that have objects, or leave it out")
        self.scores = () if self.semantic is None else (self.semantic,)

    @abstractmethod
    def cluster(self, embedding: Tensor, foreground: Tensor) -> Tensor:
        """Clusters of one image as (H, W) int64, 1 and up in any order, 0 for none.

        Args:
            embedding: (E, H, W) float32, finite.
            foreground: (H, W) bool, at least one pixel; the others are 0 in the result.
        """

    def kept(self, labels: Tensor, foreground: Tensor, maps: dict[str, Tensor]) -> Tensor:
        """The clusters without those that fail a test of the labeler's own.

        Args:
            labels: (H, W) int64.
            foreground: (H, W) bool.
            maps: The embeddings that `reads` names, each (E, H, W), about their middles.
        """
        return labels

    def reads(self) -> list[str]:
        """Names of the embeddings among the outputs; `output` comes first."""
        return [self.output]

    def __call__(self, outputs: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """Objects of `outputs` as (B, H, W) int64.

        Args:
            outputs: The model's maps by name, each (B, C, H, W).
            mask: (B, H, W) bool; pixels outside it become 0.

        Raises:
            UserError: If a map is missing, not finite, of one channel, or of another size.
        """
        embeddings = {name: embedding_of(outputs, name) for name in self.reads()}
        embedding = embeddings[self.output]
        size = (len(embedding), *embedding.shape[2:])
        regions = self._regions(outputs, size, embedding.device)
        if mask is not None:
            check_size(mask.shape, size, "the mask")
            regions = [region & (mask != 0).to(region.device) for region in regions]
        told = self.semantic is not None or mask is not None
        remove = not told if self.remove_largest is None else self.remove_largest
        images = []
        for index in range(len(embedding)):
            maps = {name: each[index] for name, each in embeddings.items()}
            labels = torch.zeros(size[1:], dtype=torch.int64, device=embedding.device)
            for region in regions:
                found = self._image(maps, region[index], remove)
                labels = torch.where(found > 0, found + labels.max(), labels)
            images.append(by_size(labels))
        return torch.stack(images)

    def _image(self, maps: dict[str, Tensor], region: Tensor, remove_largest: bool) -> Tensor:
        if not region.any():
            return torch.zeros_like(region, dtype=torch.int64)
        maps = {name: about_middle(each, region) for name, each in maps.items()}
        labels = self.cluster(maps[self.output], region)
        labels = without_small(labels, self.min_size, self.small)
        if remove_largest:
            labels = by_size(labels)
            labels = (labels - 1).clamp(min=0)
        labels = self.kept(labels, region, maps)
        if self.split_components:
            labels = without_small(components(labels), self.min_size, self.small)
        return labels

    def _regions(
        self, outputs: dict[str, Tensor], size: tuple[int, ...], device: torch.device
    ) -> list[Tensor]:
        """Where objects are looked for, each (B, H, W) bool; one a class, or one."""
        if self.semantic is None:
            return [torch.ones(size, dtype=torch.bool, device=device)]
        scores = output_of(outputs, self.semantic)
        check_size((len(scores), *scores.shape[2:]), size, f'the output "{self.semantic}"')
        count = max(scores.shape[1], 2)
        classes = self.classes if self.classes is not None else list(range(1, count))
        if not all(0 <= c < count for c in classes):
            raise UserError(
                f'classes are {classes}; those of "{self.semantic}" are 0 to {count - 1}'
            )
        found = scores.argmax(1) if scores.shape[1] > 1 else (scores[:, 0] > 0).long()
        each = [found == c for c in classes]
        return each if self.per_class else [torch.stack(each).any(0)]


def about_middle(embedding: Tensor, region: Tensor) -> Tensor:
    """An embedding (E, H, W) less its mean over a region (H, W): differences keep their digits."""
    return embedding - embedding[:, region].mean(1)[:, None, None]


def embedding_of(outputs: dict[str, Tensor], name: str) -> Tensor:
    """The embedding of that name in float32.

    Raises:
        UserError: If there is none, or it has one channel, or is not finite.
    """
    embedding = output_of(outputs, name).float()
    if embedding.shape[1] < 2:
        raise UserError(
            f'the output "{name}" has one channel; an embedding needs two or more: '
            "set the loss's embedding_dim, or name another output in the labeler"
        )
    if not embedding.isfinite().all():
        bad = int((~embedding.isfinite()).any(1).sum())
        raise UserError(
            f'the output "{name}" is not a finite number at {bad} pixels; the training has '
            "diverged, or the file is damaged"
        )
    return embedding


def check_size(got: tuple[int, ...], size: tuple[int, ...], what: str) -> None:
    if tuple(got) != tuple(size):
        raise UserError(
            f"{what} is {tuple(got)}, the embedding {tuple(size)} (images, height, width); "
            "both must be of one size"
        )
