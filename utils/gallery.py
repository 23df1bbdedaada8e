"""Predictions as contact sheets: image | truth | prediction | errors."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from base.base_dataloader import to_device
from base.base_dataset import BaseDataset
from utils.metrics import MetricGroup
from utils.visualize import colorize, contact_sheet, error_map

TITLES = ("image", "truth", "prediction", "errors")


class Gallery:
    """Scores each image by itself, and keeps the worst ones and evenly spaced ones.

    Args:
        metric: Scores one image at a time; its first score counts.
        dataset: Gives colours, ignored label and the way back from normalised pixels.
        count: Images on a sheet.
    """

    def __init__(self, metric: MetricGroup, dataset: BaseDataset, count: int = 8):
        self.metric, self.dataset, self.count = metric, dataset, count
        self.key = next(iter(metric.compute()))
        self.spaced = set(np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist())
        self.seen = 0
        self.worst: list[tuple[float, str, list[np.ndarray]]] = []
        self.examples: list[tuple[float, str, list[np.ndarray]]] = []

    def visit(self, sample: dict[str, Any], labels: Tensor, outputs: dict[str, Tensor]) -> None:
        """Take in one image: its sample, label map (1, H, W) and outputs (1, C, H, W)."""
        score = self._score(sample, labels, outputs)
        full = len(self.worst) == self.count
        bad = score == score and not (full and score >= self.worst[-1][0])
        if bad or self.seen in self.spaced:
            entry = (score, sample["name"], self._row(sample, labels[0].cpu().numpy()))
            if bad:
                ranked = sorted([*self.worst, entry], key=lambda kept: kept[0])
                self.worst = ranked[: self.count]
            if self.seen in self.spaced:
                self.examples.append(entry)
        self.seen += 1

    def sheets(self) -> dict[str, np.ndarray]:
        """`worst` and `examples` as pictures (H, W, 3) uint8."""
        return {
            name: contact_sheet(
                [row for _, _, row in kept],
                TITLES,
                [f"{label}: {self.key} {score:.4f}" for score, label, _ in kept],
            )
            for name, kept in (("worst", self.worst), ("examples", self.examples))
            if kept
        }

    def _score(self, sample: dict[str, Any], labels: Tensor, outputs: dict[str, Tensor]) -> float:
        target = sample["target"]
        batch = (
            {k: v[None] for k, v in target.items()} if isinstance(target, dict) else target[None]
        )
        self.metric.reset()
        self.metric.update(labels, to_device(batch, labels.device), outputs, [sample["meta"]])
        return self.metric.compute()[self.key]

    def _row(self, sample: dict[str, Any], labels: np.ndarray) -> list[np.ndarray]:
        target, palette = sample["target"], self.dataset.palette
        truth = next(iter(target.values())) if isinstance(target, dict) else target
        truth = truth.numpy()
        return [
            self.dataset.normalization.undo(sample["image"]),
            colorize(truth, palette),
            colorize(labels, palette),
            error_map(labels, truth, self.dataset.ignore_index),
        ]
