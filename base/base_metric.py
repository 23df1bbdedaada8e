"""The promise of every metric: counts over a data set, then scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from utils.errors import UserError
from utils.registry import Registry


def metric_options(target: str | None = None) -> None:
    """Where a metric looks.

    Args:
        target: Target map it scores against, "semantic" or "instance", in place of its own.
    """


METRICS = Registry(
    "metric",
    supplied=("num_classes", "ignore_index", "class_names", "unscored"),
    beside=metric_options,
)


class BaseMetric(ABC):
    """Scores of label maps against their targets, in constant memory.

    Attributes:
        target: Target map it scores against, unless its section names another.
        counted: Names of the attributes that hold all that was counted, so that several processes
            can count together: tensors, arrays and numbers that add up, lists that join.
    """

    target: ClassVar[str] = "semantic"
    counted: ClassVar[tuple[str, ...]]

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

    def check_outputs(self, channels: dict[str, int]) -> None:  # noqa: B027 - most read labels alone
        """Refuse a model that does not give what `update` reads.

        Args:
            channels: Of each output, by name.

        Raises:
            UserError: If an output is missing or has channels that the metric cannot score.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Scores by name as plain floats, NaN where undefined; all names before any update too.

        A score of one class is called `<score>/<class>`.
        """

    def state(self) -> dict[str, Any]:
        """What was counted, by the names of `counted`; tensors on the CPU.

        Raises:
            UserError: If the metric does not name it.
        """
        if not hasattr(self, "counted"):
            raise UserError(
                f"the metric {type(self).__name__} does not name what it counts in `counted`, so "
                "several processes cannot score together; add it, or train in one process"
            )
        held = {name: getattr(self, name) for name in self.counted}
        return {k: v.cpu() if isinstance(v, torch.Tensor) else v for k, v in held.items()}

    def merge(self, states: list[dict[str, Any]]) -> None:
        """Take over what several metrics counted: the same as having counted it all here, in the
        order of `states`.
        """
        for name in self.counted:
            first, *others = (state[name] for state in states)
            setattr(self, name, sum(others, first))

    def pictures(self) -> dict[str, np.ndarray]:
        """Figures by name, (H, W, 3) uint8, that explain the scores."""
        return {}

    def tables(self) -> dict[str, list[list]]:
        """Tables by name that the scores follow from; the first row of each is its heading."""
        return {}
