"""The promise of every post-processing step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from utils.registry import Registry, suggest

POSTPROCESSORS = Registry("postprocessor", supplied=("class_names",))


class Postprocessor(ABC):
    """One step from label maps to better ones."""

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


def class_id(name: str | int, class_names: Sequence[str]) -> int:
    """The id of a class given by name or by id.

    Raises:
        ValueError: If there is no class of that name.
    """
    if isinstance(name, int):
        return name
    if name not in class_names:
        raise ValueError(f"there is no class {name!r}; {suggest(name, class_names)}")
    return list(class_names).index(name)


def class_ids(names: Sequence[str | int] | None, class_names: Sequence[str]) -> list[int] | None:
    """Likewise for several; None stays None."""
    return None if names is None else [class_id(name, class_names) for name in names]
