"""The promise of every post-processing step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from utils.registry import Registry, suggest

POSTPROCESSORS = Registry("postprocessor", supplied=("class_names", "scores"))


class Postprocessor(ABC):
    """One step from label maps to better ones.

    The program passes a constructor two things, where it has arguments of these names:
    `class_names`, of the data set, or none where labels are the ids of objects; and `scores`, the
    names of the outputs that hold class scores.
    """

    @abstractmethod
    def __call__(self, labels: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        """Change `labels` (B, H, W) int64, made of `outputs`, each (B, C, H, W).

        Returns:
            (B, H, W) int64; `labels` itself stays as it was.
        """


class MapStep(Postprocessor):
    """A step that looks at one label map at a time, on the CPU."""

    def __call__(self, labels: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        changed = [torch.from_numpy(self.edit(each)) for each in labels.cpu().numpy()]
        return torch.stack(changed).to(labels.device)

    @abstractmethod
    def edit(self, labels: np.ndarray) -> np.ndarray:
        """The changed copy of a label map (H, W) int64."""


def class_id(key: str, name: str | int, class_names: Sequence[str]) -> int:
    """The id of a class given by name or by id.

    Args:
        key: The argument that gives it.
        name: Of the class, or its id.
        class_names: Of the data set; none where labels are objects, of which 0 alone has a meaning.

    Raises:
        ValueError: If there is no such class.
    """
    if name == 0:
        return 0
    if not class_names:
        raise ValueError(
            f"{key} is {name!r}, but the labels are objects, whose ids are no classes; leave it "
            "out, or give 0, the background"
        )
    if isinstance(name, int):
        if not 0 <= name < len(class_names):
            raise ValueError(f"{key} is {name}; the classes are 0 to {len(class_names) - 1}")
        return name
    if name not in class_names:
        raise ValueError(f"{key}: there is no class {name!r}; {suggest(name, class_names)}")
    return list(class_names).index(name)


def class_ids(names: Sequence[str | int] | None, class_names: Sequence[str]) -> list[int] | None:
    """Likewise for the argument `classes`; None stays None."""
    return None if names is None else [class_id("classes", name, class_names) for name in names]
