"""The images a model does worst on, as a contact sheet."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from base.base_dataset import BaseDataset
from utils.metrics import MetricGroup
from utils.visualize import colorize, contact_sheet, error_map


class WorstImages:
    """Keeps the images with the lowest score of their own.

    Args:
        metric: Scores one image at a time; its first score counts.
        dataset: Gives colours and the way back from normalised pixels.
        count: How many to keep.
    """

    def __init__(self, metric: MetricGroup, dataset: BaseDataset, count: int):
        self.metric, self.dataset, self.count = metric, dataset, count
        self.key = next(iter(metric.compute()))
        self.kept: list[tuple[float, str, list[np.ndarray]]] = []

    def visit(self, sample: dict[str, Any], labels: np.ndarray) -> None:
        """Take in one image: its sample and label map (H, W)."""
        target = sample["target"]
        self.metric.reset()
        batch = (
            {k: v[None] for k, v in target.items()} if isinstance(target, dict) else target[None]
        )
        self.metric.update(torch.from_numpy(labels)[None], batch, None, [sample["meta"]])
        score = self.metric.compute()[self.key]
        full = len(self.kept) == self.count
        if score != score or full and score >= self.kept[-1][0]:
            return
        truth = next(iter(target.values())) if isinstance(target, dict) else target
        truth, palette = truth.numpy(), self.dataset.palette
        pictures = [
            self.dataset.normalization.undo(sample["image"][:3]),
            colorize(truth, palette),
            colorize(labels, palette),
            error_map(labels, truth, self.dataset.ignore_index),
        ]
        self.kept = sorted([*self.kept, (score, sample["name"], pictures)], key=lambda k: k[0])
        self.kept = self.kept[: self.count]

    def sheet(self) -> np.ndarray:
        """image | truth | prediction | errors, the worst first."""
        return contact_sheet(
            [pictures for _, _, pictures in self.kept],
            ("image", "truth", "prediction", "errors"),
            [f"{name}: {self.key} {score:.4f}" for score, name, _ in self.kept],
        )
