"""What is shown while training: pictures in TensorBoard, a score on the bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from base.base_dataset import BaseDataset
from utils.clustering import Labeler
from utils.device import autocast
from utils.metrics import MetricGroup
from utils.predictors import Predictor
from utils.visualize import colorize, contact_sheet

SHOWN = 4


def make_preview(
    dataset: BaseDataset,
    predictor: Predictor,
    labeler: Labeler,
    device: torch.device,
    dtype: torch.dtype | None,
    postprocess: Callable[[Tensor, dict[str, Tensor]], Tensor] | None = None,
) -> Callable[[nn.Module], dict[str, np.ndarray]]:
    """A function from a model to `{"input_truth_prediction": sheet}` of a few fixed images."""
    indices = np.linspace(0, len(dataset) - 1, min(SHOWN, len(dataset))).astype(int).tolist()

    @torch.no_grad()
    def draw(model: nn.Module) -> dict[str, np.ndarray]:
        was_training = model.training
        model.eval()
        rows = []
        for index in indices:
            item = dataset[index]
            with autocast(device, dtype):
                outputs = predictor(model, item["image"][None].to(device))
            labels = labeler(outputs)
            if postprocess is not None:
                labels = postprocess(labels, outputs)
            target = item["target"]
            truth = next(iter(target.values())) if isinstance(target, dict) else target
            rows.append(
                [
                    dataset.normalization.undo(item["image"]),
                    colorize(truth.numpy(), dataset.palette),
                    colorize(labels[0].cpu().numpy(), dataset.palette),
                ]
            )
        model.train(was_training)
        return {"input_truth_prediction": contact_sheet(rows, ("input", "truth", "prediction"))}

    return draw


def make_score_batch(
    labeler: Labeler, sections: list[dict], dataset: BaseDataset
) -> Callable[[dict, Any], tuple[str, float]] | None:
    """The first score of one training batch, for the bar; None where labels are too dear for it."""
    if not labeler.cheap:
        return None
    metric = MetricGroup(sections[:1], len(dataset.classes), dataset.ignore_index, dataset.classes)
    key = next(iter(metric.compute()))

    @torch.no_grad()
    def score(outputs: dict, target: Any) -> tuple[str, float]:
        metric.reset()
        metric.update(labeler(outputs), target, outputs)
        return key, metric.compute()[key]

    return score
