"""The promise of every metric: counts over a data set, then scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from torch import Tensor

from utils.registry import Registry


def metric_options(target: str | None = None) -> None:
    """Where a metric looks.

    Args:
        target: Target map it scores against, "semantic" or "instance", in place of its own.
    """


METRICS = Registry(
    "metric", supplied=("num_classes", "ignore_index", "class_names"), beside=metric_options
)


class BaseMetric(ABC):
    """Scores of label maps against their targets, in constant memory.

    Attributes:
        target: Target map it scores against, unless its section names another.
    """

    target: ClassVar[str] = "semantic"

    @abstractmethod
    def reset(self) -> None:
        """Forget everything seen."""

    @abstractmethod
    def update(
        self,
        labels: Tensor,
        target: Tensor,
        outputs: dict[str, Tensor] | None = None,
        meta: list[dict] | None = None,
    ) -> None:
        """Count `labels` (B, H, W) against `target` (B, H, W), both int64.

        Args:
            labels: What the labeler made of the outputs.
            target: The truth, with ignored pixels.
            outputs: The model's maps, for metrics that threshold scores.
            meta: What the data set says of each image.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Scores by name as plain floats, NaN where undefined; all names before any update too.

        A score of one class is called `<score>/<class>`.
        """

    def pictures(self) -> dict[str, np.ndarray]:
        """Figures by name, (H, W, 3) uint8, that explain the scores."""
        return {}

    def tables(self) -> dict[str, list[list]]:
        """Tables by name that the scores follow from; the first row of each is its heading."""
        return {}
