"""A trained model with everything around it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from utils.clustering import LABELERS
from utils.device import autocast, autocast_dtype, tell_of_amp
from utils.errors import UserError
from utils.inference.label_bands import label_in_bands
from utils.instance_pictures import PALETTE
from utils.losses.weighted_sum import loss_sections
from utils.normalization import Normalization
from utils.predictors import PREDICTORS
from utils.scoring import make_postprocess, told_of
from utils.writers import Task


class Predict:
    """An image in, its label map out.

    Args:
        state: A checkpoint's content.
        model: Its model, with its weights.
        device: Where to run.

    Attributes:
        model, predictor, labeler, postprocess, normalization, dtype, device: The parts.
        classes: Class names by id.
        palette: RGB of each class.
        config: The run's config, resolved.
        task: What the model was trained for.
        decided: The model gives labels as votes in place of scores, as a file of tools/export.py
            with --labels.
        fixed_size: Height and width of all images it takes, of such a file; or None.
        sections: Those of the predictor, the labeler and the post-processing in use.
    """

    def __init__(self, state: dict, model: nn.Module, device: torch.device):
        config = state["config"]
        self.config, self.device = config, device
        self.classes, self.palette = state["classes"], state["palette"]
        self.channels = state["channels"]
        self.normalization = Normalization(
            **{k: tuple(v) for k, v in state["normalization"].items()}
        )
        if config["trainer"]["channels_last"]:
            model = model.to(memory_format=torch.channels_last)
        self.model = model.to(device).eval()
        target = config["metric"][0]["target"]
        palette = PALETTE if target == "instance" else self.palette
        heads = loss_sections(config["loss"])
        embedding = next((head["output"] for head in heads if head["target"] == "instance"), None)
        told = told_of(heads, embedding) if embedding else {}
        export = state.get("export", {})
        self.decided, self.fixed_size = export.get("labels", False), export.get("size")
        self.task = Task(self.classes, palette, target, (), embedding, told)
        self.sections: dict = {}
        self.use(config["predictor"], config["postprocess"], config["labeler"])
        tell_of_amp(config["trainer"]["amp"], device)
        self.dtype = autocast_dtype(config["trainer"]["amp"], device)

    def use(
        self, predictor: dict | str, postprocess: list[dict], labeler: dict | None = None
    ) -> None:
        """Predict, label and post-process by these sections from here on; None for the same."""
        if labeler is not None:
            self.labeler = LABELERS.build(labeler)
            self.sections["labeler"] = LABELERS.resolve(labeler)
            scores = () if self.decided else self.labeler.scores
            self.task = replace(self.task, scores=scores)
        self.sections |= {"predictor": PREDICTORS.resolve(predictor), "postprocess": postprocess}
        self.predictor = PREDICTORS.build(predictor, scores=self.task.scores)
        self.postprocess = make_postprocess(
            postprocess, self.classes, self.task.target, self.task.scores
        )

    @torch.no_grad()
    def outputs(self, image: np.ndarray | Tensor) -> dict[str, Tensor]:
        """The model's maps, each (1, C, H, W), of an image (H, W, channels) or of `prepare`'s."""
        prepared = image if isinstance(image, Tensor) else self.prepare(image)
        with autocast(self.device, self.dtype):
            return self.predictor(self.model, prepared.to(self.device, non_blocking=True))

    def prepare(self, image: np.ndarray) -> Tensor:
        """An image (H, W, channels) uint8 or uint16 as the model reads it, (1, channels, H, W)."""
        if image.ndim == 2:
            image = image[:, :, None]
        if image.shape[2] != self.channels:
            raise UserError(
                f"the image has {image.shape[2]} channels; the model was trained on {self.channels}"
            )
        return self.normalization(image)[None]

    def label(self, outputs: dict[str, Tensor]) -> np.ndarray:
        """The label map (H, W) int64 that the outputs mean."""
        labels = self.labeler(outputs)
        if self.postprocess is not None:
            labels = self.postprocess(labels, outputs)
        return labels[0].cpu().numpy()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Label map (H, W) int64 of an image (H, W, 3) uint8 RGB, or as the model was trained."""
        return self.label(self.outputs(image))

    @property
    def needs_whole(self) -> str:
        """What keeps labels from being made band by band, in little memory; "" for nothing."""
        if self.predictor.bands is None:
            return f"the predictor {self.sections['predictor']['type']} (not for Sliding alone)"
        if not self.labeler.pixelwise:
            return "the labeler, which looks at the whole image"
        return "--postprocess" if self.postprocess is not None else ""

    @property
    def in_bands(self) -> bool:
        """Labels can be made band by band."""
        return not self.needs_whole

    @torch.no_grad()
    def label_in_bands(self, image: np.ndarray, folder: Path) -> np.ndarray:
        """As `__call__` in little memory: (H, W) uint8 or uint16 mapped from a file in `folder`."""
        parts = (self.normalization, self.model, self.predictor, self.labeler, self.device)
        with autocast(self.device, self.dtype):
            return label_in_bands(image, *parts, len(self.classes) - 1, folder)
