"""From pixel values to the numbers a network reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from utils.errors import UserError

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@dataclass(frozen=True)
class Normalization:
    """(value / full scale - mean) / std for each channel.

    Attributes:
        mean: Per channel, 0 to 1; empty to take each image's own.
        std: Likewise.
    """

    mean: tuple[float, ...] = tuple(IMAGENET[0])
    std: tuple[float, ...] = tuple(IMAGENET[1])

    def __call__(self, image: np.ndarray) -> Tensor:
        """(H, W, C) uint8 or uint16 -> (C, H, W) float32."""
        own, full = self.of(image), np.iinfo(image.dtype).max
        mean, std = np.array(own.mean) * full, np.array(own.std) * full
        values = np.empty((image.shape[2], *image.shape[:2]), np.float32)
        factors, shifts = (1 / std).tolist(), (-mean / std).tolist()
        for plane, factor, shift, out in zip(
            cv2.split(image), factors, shifts, values, strict=True
        ):
            cv2.addWeighted(plane, factor, plane, 0, shift, dst=out, dtype=cv2.CV_32F)
        return torch.from_numpy(values)

    def of(self, image: np.ndarray) -> Normalization:
        """The same for parts of `image` (H, W, C): where each image's own is taken, that of all."""
        if self.mean:
            return self
        full = np.iinfo(image.dtype).max
        mean, std = (found.ravel() for found in cv2.meanStdDev(image))
        std = np.maximum(std, 1e-3)
        return Normalization(tuple((mean / full).tolist()), tuple((std / full).tolist()))

    def undo(self, image: Tensor) -> np.ndarray:
        """(C, H, W) float32 -> (H, W, 3) uint8, for pictures; stretched where the mean is lost.

        One channel is shown grey; of more than three the first three, of two a third that is black.
        """
        values = image.detach().float().cpu().numpy().transpose(1, 2, 0)
        if self.mean:
            values = (values * np.float32(self.std) + np.float32(self.mean)) * 255
        else:
            low, high = values.min(), values.max()
            values = (values - low) / max(high - low, 1e-6) * 255
        pixels = values.round().clip(0, 255).astype(np.uint8)
        if pixels.shape[2] == 1:
            return np.repeat(pixels, 3, axis=2)
        return np.pad(pixels, ((0, 0), (0, 0), (0, 1)))[:, :, :3]

    def fill(self, scale: float) -> list[float]:
        """The colour that becomes zero; black where it is not known. `scale` is the full value."""
        return [value * scale for value in self.mean] or [0.0]

    def state(self) -> dict:
        """Plain values for a checkpoint."""
        return {key: list(value) for key, value in asdict(self).items()}


def make_normalization(
    dataset: Any,
    normalize: Literal["imagenet", "dataset", "image"] | list[list[float]] = "imagenet",
) -> Normalization:
    """The `normalize` key of a loader.

    Args:
        dataset: Gives the channel count, and its statistics for "dataset".
        normalize: From pixels to network input: "imagenet", "dataset" (its own statistics), "image"
            (each image's own) or [mean, std], each 0 to 1 a channel.

    Raises:
        UserError: If the data set has no statistics, or their number is not that of the channels.
    """
    if normalize == "image":
        return Normalization((), ())
    if normalize == "imagenet":
        mean, std = IMAGENET
    elif normalize == "dataset":
        if dataset.mean is None:
            raise UserError(
                f'"normalize": "dataset", but {type(dataset).__name__} has no '
                'statistics; give [mean, std], "imagenet" or "image"'
            )
        mean, std = dataset.mean, dataset.std
    else:
        if len(normalize) != 2:
            raise UserError(f'"normalize" is a list of {len(normalize)}; give [mean, std]')
        mean, std = normalize
    if len(mean) != dataset.channels or len(std) != dataset.channels:
        raise UserError(
            f'"normalize" has {len(mean)} means and {len(std)} deviations for images '
            f'of {dataset.channels} channels; give [mean, std] or "image"'
        )
    if min(std) <= 0:
        raise UserError(f'"normalize" has the deviation {min(std)}; deviations are above zero')
    return Normalization(tuple(mean), tuple(std))
