"""The metrics of a run: one, or several, each on its own target."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from base.base_metric import METRICS, BaseMetric
from utils.errors import UserError
from utils.targets import ignored_label, pick


def metric_of(sections: list[dict], dataset: Any) -> MetricGroup:
    """The metrics of the sections for a data set."""
    count, ignored = len(dataset.classes), dataset.ignore_index
    return MetricGroup(sections, count, ignored, dataset.classes, dataset.unscored)


class MetricGroup(BaseMetric):
    """Every metric of a config's `metric` key as one.

    Args:
        sections: The sections, each with an optional "target".
        num_classes: Classes of the data set.
        ignore_index: The run's ignored label; instance targets ignore -1.
        class_names: Names for per-class scores.
        unscored: Classes that stay out of the means.

    Raises:
        UserError: If two metrics give a score of one name.
    """

    def __init__(
        self,
        sections: list[dict],
        num_classes: int,
        ignore_index: int,
        class_names: list[str],
        unscored: tuple[int, ...] = (),
    ):
        self.targets = [
            section.get("target") or METRICS[section["type"]].target for section in sections
        ]
        self.metrics = [
            METRICS.build(
                {"type": section["type"], "args": section.get("args", {})},
                num_classes=num_classes,
                class_names=class_names,
                unscored=unscored,
                ignore_index=ignored_label(target, ignore_index),
            )
            for section, target in zip(sections, self.targets, strict=True)
        ]
        names = [name for metric in self.metrics for name in metric.compute()]
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise UserError(f"metric: two metrics give {double[0]!r}; name each metric once")

    def check_outputs(self, channels: dict[str, int]) -> None:
        for metric in self.metrics:
            metric.check_outputs(channels)

    def reset(self) -> None:
        for metric in self.metrics:
            metric.reset()

    def update(
        self,
        labels: Tensor,
        target: Tensor | dict[str, Tensor],
        outputs: dict[str, Tensor] | None = None,
        meta: list[dict] | None = None,
    ) -> None:
        for metric, name in zip(self.metrics, self.targets, strict=True):
            metric.update(labels, pick(target, name), outputs, meta)

    def compute(self) -> dict[str, float]:
        return {k: float(v) for metric in self.metrics for k, v in metric.compute().items()}

    def state(self) -> dict[str, Any]:
        return {str(number): metric.state() for number, metric in enumerate(self.metrics)}

    def merge(self, states: list[dict[str, Any]]) -> None:
        for number, metric in enumerate(self.metrics):
            metric.merge([state[str(number)] for state in states])

    def pictures(self) -> dict[str, np.ndarray]:
        return {k: v for metric in self.metrics for k, v in metric.pictures().items()}

    def tables(self) -> dict[str, list[list]]:
        return {k: v for metric in self.metrics for k, v in metric.tables().items()}
