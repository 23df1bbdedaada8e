"""A trained model as one network that can be exported."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from utils.errors import UserError
from utils.inference.predict import Predict

LABELS = "labels"


class Packed(nn.Module):
    """The model, with its normalisation in front and its decision behind it where asked for.

    Args:
        predict: The trained model.
        pixels: Take pixel values, 0 to 255 (of 16 bits: divided by 257), and normalise them inside.
        labels: Give label maps in place of scores.
    Shape:
        image (B, C, H, W) float32 -> {name: (B, C, H, W) float32}, or {"labels": (B, H, W) int64}.
    Raises:
        UserError: If the normalisation is each image's own, or labels do not follow pixel by pixel.
    """

    def __init__(self, predict: Predict, pixels: bool, labels: bool):
        super().__init__()
        self.model, self.pixels = predict.model, pixels
        self.labeler = predict.labeler if labels else None
        mean, std = predict.normalization.mean, predict.normalization.std
        if pixels and not mean:
            raise UserError(
                '--pixels: the model was trained with "normalize": "image", each image\'s own '
                "statistics, which the pieces of an image do not have; normalise outside"
            )
        if labels and not predict.labeler.pixelwise:
            raise UserError(
                "--labels: this model's labeler looks at more than a pixel; leave it out"
            )
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        if self.pixels:
            image = (image - self.mean) / self.std
        outputs = {name: out for name, out in self.model(image).items() if name != "aux"}
        return outputs if self.labeler is None else {LABELS: self.labeler(outputs)}


def description(
    predict: Predict, pixels: bool, labels: bool, size: list[int] | None, batch: int | None
) -> dict[str, Any]:
    """What a file must say of itself to be predicted with: plain values.

    Args:
        predict: The trained model.
        pixels, labels: As `Packed` has them.
        size: Height and width where they are fixed.
        batch: Likewise.
    """
    channels = predict.channels
    unchanged = {"mean": [0.0] * channels, "std": [1 / 255] * channels}
    return {
        "config": predict.config,
        "classes": predict.classes,
        "palette": predict.palette,
        "channels": channels,
        "normalization": unchanged if pixels else predict.normalization.state(),
        "export": {
            "size": size,
            "batch": batch,
            "stride": predict.model.stride,
            "classes": len(predict.classes),
            "labels": labels,
        },
    }
