"""The one loop that scores a model: validation in training and evaluate.py both run it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, groupby
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from base.base_dataloader import stack, to_device
from base.base_metric import BaseMetric
from utils.clustering import Labeler
from utils.device import autocast
from utils.distributed import gather, is_main, together, world_size
from utils.predictors import Predictor
from utils.seed import aside

Visit = Callable[[dict[str, Any], Tensor, dict[str, Tensor]], None]


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: Iterable[list[dict]],
    predictor: Predictor,
    labeler: Labeler,
    metric: BaseMetric,
    device: torch.device,
    loss: nn.Module | None = None,
    dtype: torch.dtype | None = None,
    postprocess: Callable[[Tensor, dict[str, Tensor]], Tensor] | None = None,
    visit: Visit | None = None,
    title: str = "validating",
    check: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Scores of a model over a loader, at the size of the labels.

    Where several processes train, each scores its share, and all get the scores of the whole. What
    it draws at random changes nothing of a training around it.

    Args:
        model: In any mode; it is put back into that mode.
        loader: Gives lists of samples with "image" (C, H, W), "target", "name" and "meta".
        predictor: Runs the model over images of any size.
        labeler: Makes label maps of the outputs.
        metric: Counts; it is reset first.
        device: Where the model is.
        loss: Adds "val_loss", the mean over images of the sum of its terms.
        dtype: Mixed precision, or None for float32.
        postprocess: Called on label maps and the outputs they were made of.
        visit: Called with each sample, its label map (1, H, W) and its outputs (1, C, H, W).
        title: Over the progress bar.
        check: Called before each batch; may raise to stop.
    """
    was_training = model.training
    model.eval()
    metric.reset()
    total = torch.zeros((), device=device)
    images = 0
    hidden = None if is_main() else True  # None shows the bar on a terminal alone
    try:
        with together(), aside():
            bar = tqdm(loader, desc=title, unit="batch", leave=False, disable=hidden)
            for batch, group in chain.from_iterable(map(equal_sizes, bar)):
                check()
                target = to_device(batch["target"], device)
                with autocast(device, dtype):
                    outputs = predictor(model, batch["image"].to(device, non_blocking=True))
                labels = labeler(outputs)
                if postprocess is not None:
                    labels = postprocess(labels, outputs)
                metric.update(labels, target, outputs, batch["meta"])
                images += len(group)
                if loss is not None:
                    torch.manual_seed(0)  # whatever a term draws is the same in every validation
                    total += sum(loss(outputs, target).values()) * len(group)
                if visit is not None:
                    for index, sample in enumerate(group):
                        one = slice(index, index + 1)
                        visit(sample, labels[one], {k: out[one] for k, out in outputs.items()})
    finally:
        model.train(was_training)
    if world_size() > 1:
        with together():
            counted = metric.state()
        parts = gather((float(total), images, counted))
        total, images = (sum(part[i] for part in parts) for i in (0, 1))
        metric.merge([part[2] for part in parts])
    scores = metric.compute()
    if loss is not None:
        scores = {"val_loss": float(total) / max(images, 1), **scores}
    return scores


def equal_sizes(samples: list[dict]) -> Iterator[tuple[dict, list[dict]]]:
    """Stack neighbours of one size: (batch, its samples)."""
    for _, group in groupby(samples, key=lambda sample: tuple(sample["image"].shape)):
        group = list(group)
        yield stack(group), group
