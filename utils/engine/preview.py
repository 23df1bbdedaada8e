"""What is shown while training: pictures in TensorBoard, a score on the bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from base.base_dataset import BaseDataset
from utils.clustering import Argmax, Labeler
from utils.device import autocast
from utils.errors import UserError
from utils.metrics import metric_of
from utils.pca import PrincipalComponents
from utils.predictors import Predictor
from utils.visualize import contact_sheet, draw_labels, draw_scatter

SHOWN = 4
PREDICTION = "prediction"
POINTS = 1500  # of the objects of one image in a scatter, and as many of its background


class Preview:
    """From a model to pictures by tag, of a few fixed images.

    "input_truth_prediction" is a sheet of image, truth, what the labeler found, and each head that
    the labeler's map does not show: class scores as classes, embeddings in the colours of their
    principal components, or as grey where there is one channel. "embedding_scatter" has some
    pixels' embeddings of two channels or more as points in the colours of their true objects.

    Args:
        dataset: Gives the images, and colours of classes.
        predictor: Runs the model over images of any size.
        labeler: Makes label maps of the outputs.
        device: Where the model is.
        dtype: Mixed precision, or None for float32.
        postprocess: Called on label maps and the outputs they come from.
        heads: Sections with "output" and "target": what each output of the model is trained for.
        scored: Target that the labeler's map is compared with.
    """

    def __init__(
        self,
        dataset: BaseDataset,
        predictor: Predictor,
        labeler: Labeler,
        device: torch.device,
        dtype: torch.dtype | None,
        postprocess: Callable[[Tensor, dict[str, Tensor]], Tensor] | None,
        heads: Sequence[dict],
        scored: str,
    ):
        self.dataset, self.predictor, self.labeler = dataset, predictor, labeler
        self.device, self.dtype, self.postprocess = device, dtype, postprocess
        self.scored = scored
        count = min(SHOWN, len(dataset))
        self.indices = np.linspace(0, len(dataset) - 1, count).astype(int).tolist()
        targets = {head["output"]: head["target"] for head in heads}
        self.embeddings = [name for name, target in targets.items() if target == "instance"]
        apart = set(targets) - set(self.embeddings) if scored == "instance" else set()
        self.classes = [name for name in targets if name in apart]

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> dict[str, np.ndarray]:
        items = [item for index in self.indices if (item := self._item(index))]
        if not items:
            return {}
        was_training = model.training
        model.eval()
        found = [self._predict(model, item["image"]) for item in items]
        model.train(was_training)
        components = {
            name: PrincipalComponents(maps[name] for maps in found) for name in self.embeddings
        }
        pairs = list(zip(items, found, strict=True))
        rows = [self._row(item, maps, components) for item, maps in pairs]
        pictures = {
            "input_truth_prediction": contact_sheet([[*r.values()] for r in rows], [*rows[0]])
        }
        spread = {name: c for name, c in components.items() if len(found[0][name]) > 1}
        if spread:
            scatters = [
                [scatter(maps[n], self._truth(item)["instance"], c) for n, c in spread.items()]
                for item, maps in pairs
            ]
            titles = [title_of(name) for name in spread]
            pictures["embedding_scatter"] = contact_sheet(scatters, titles, cell=480)
        return pictures

    def _item(self, index: int) -> dict[str, Any] | None:
        """A sample; None where it cannot be read, of which validation tells."""
        try:
            return self.dataset[index]
        except UserError:
            return None

    def _predict(self, model: nn.Module, image: Tensor) -> dict[str, np.ndarray]:
        """The labeler's map, and those of the heads it does not show."""
        with autocast(self.device, self.dtype):
            outputs = self.predictor(model, image[None].to(self.device))
        labels = self.labeler(outputs)
        if self.postprocess is not None:
            labels = self.postprocess(labels, outputs)
        found = {PREDICTION: labels}
        found |= {name: Argmax(name)(outputs) for name in self.classes}
        found |= {name: outputs[name].float() for name in self.embeddings}
        return {name: each[0].cpu().numpy() for name, each in found.items()}

    def _row(
        self, item: dict, found: dict[str, np.ndarray], components: dict[str, PrincipalComponents]
    ) -> dict[str, np.ndarray]:
        """The pictures of one image by title."""
        truth, palette = self._truth(item), self.dataset.palette
        row = {"input": self.dataset.normalization.undo(item["image"])}
        for target, labels in truth.items():
            title = "truth" if len(truth) == 1 else f"true {target}"
            row[title] = draw_labels(labels, target, palette)
        scored = truth.get(self.scored)
        row[PREDICTION] = draw_labels(found[PREDICTION], self.scored, palette, scored)
        row |= {
            title_of(name): draw_labels(found[name], "semantic", palette) for name in self.classes
        }
        row |= {title_of(name): each.colors(found[name]) for name, each in components.items()}
        return row

    def _truth(self, item: dict) -> dict[str, np.ndarray]:
        """The label maps of a sample by target name."""
        target, names = item["target"], self.dataset.targets
        maps = target if isinstance(target, dict) else {names[0]: target}
        return {name: maps[name].numpy() for name in names}


def title_of(output: str) -> str:
    return "embedding" if output == "out" else output


def scatter(embedding: np.ndarray, truth: np.ndarray, fitted: PrincipalComponents) -> np.ndarray:
    """Evenly spaced pixels of an embedding (E, H, W) as points; ignored ones are left out.

    With two or three channels the channels are the coordinates, with more their components.
    """
    points, labels = embedding.reshape(len(embedding), -1).T, truth.ravel()
    finite = np.isfinite(points).all(1)
    objects, background = (np.flatnonzero(finite & kind) for kind in (labels > 0, labels == 0))
    shown = np.concatenate([p[:: len(p) // POINTS + 1] for p in (objects, background)])
    colors = draw_labels(truth, "instance", []).reshape(-1, 3)[shown]
    places = points[shown] if len(embedding) <= 3 else fitted.project(points[shown])
    return draw_scatter(places, labels[shown], colors)


def make_score_batch(
    labeler: Labeler, sections: list[dict], dataset: BaseDataset
) -> Callable[[dict, Any], tuple[str, float]] | None:
    """The first score of one training batch, for the bar; None where labels are too dear for it."""
    if not labeler.cheap:
        return None
    metric = metric_of(sections[:1], dataset)
    key = next(iter(metric.compute()))

    @torch.no_grad()
    def score(outputs: dict, target: Any) -> tuple[str, float]:
        metric.reset()
        metric.update(labeler(outputs), target, outputs)
        return key, metric.compute()[key]

    return score
