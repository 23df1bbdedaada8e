"""Large images in overlapping windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from utils.predictors.predictor import PREDICTORS, Predictor
from utils.predictors.probabilities import log_, to_probabilities, to_scores
from utils.predictors.whole import Whole
from utils.registry import Positive

Rows = Callable[[int, int], Tensor]
Band = tuple[int, dict[str, Tensor]]


@PREDICTORS.register
class Sliding(Predictor):
    """Predict overlapping windows in batches and average them where they overlap.

    Windows lie on a grid of equal steps; the last one of a row or column is moved back so that it
    ends with the image, and one longer than the image is cut to it. So every pixel is covered,
    however tall, wide or small the image is. Class scores are averaged as probabilities. Embeddings
    are averaged as they are, which makes sense only if the network gives an object the same
    embedding in every window that shows it: prefer Whole for them.

    The Gaussian weight follows Isensee et al., nnU-Net, Nature Methods 2021 (arXiv:1809.10486): a
    standard deviation of an eighth of the window.

    Args:
        window: Side of a window in pixels, or (height, width).
        overlap: Share of a window, 0 up to below 1, that the next one covers again.
        blend: Weight of a window's pixels: "gaussian" trusts its middle most, "flat" all alike.
        batch_size: Windows the model is given at once.
        scores: Outputs that hold class scores; the program passes them.
    Shape:
        image (B, in_channels, H, W) -> each output (B, C, H, W).
    Raises:
        ValueError: If a side of the window is below 1 or the overlap out of range.
    """

    def __init__(
        self,
        window: int | tuple[int, int] = 512,
        overlap: float = 0.5,
        blend: Literal["gaussian", "flat"] = "gaussian",
        batch_size: Positive = 4,
        scores: Sequence[str] = ("out",),
    ):
        self.window = (window, window) if isinstance(window, int) else tuple(window)
        if min(self.window) < 1:
            raise ValueError(f"window is {window}; give its side in pixels, 1 or more")
        if not 0 <= overlap < 1:
            raise ValueError(f"overlap is {overlap}; give a share of the window, 0 up to below 1")
        self.overlap, self.weigh = overlap, WEIGHTS[blend]
        self.batch_size, self.scores = batch_size, tuple(scores)
        self.whole = Whole()

    def __call__(self, model: nn.Module, image: Tensor) -> dict[str, Tensor]:
        batch, _, height, width = image.shape
        outputs: dict[str, Tensor] = {}
        for top, band in self.bands(model, lambda a, b: image[:, :, a:b], height, width):
            for name, part in band.items():
                if name not in outputs:
                    outputs[name] = part.new_empty(batch, part.shape[1], height, width)
                outputs[name][:, :, top : top + part.shape[2]] = part
        return outputs

    def bands(self, model: nn.Module, rows: Rows, height: int, width: int) -> Iterator[Band]:
        """The outputs as bands of whole rows from top to bottom, (top, {name: (B, C, h, W)}).

        No more than one row of windows is held at a time, or as many rows as fill a batch. A band
        is overwritten when the next one is asked for.

        Args:
            model: In evaluation mode.
            rows: Gives the image's rows from a first up to another, (B, in_channels, h, W).
            height, width: Of the image, in pixels.
        """
        high, wide = min(self.window[0], height), min(self.window[1], width)
        weight: Tensor | None = None
        sums: dict[str, Tensor] = {}
        channels: dict[str, int] = {}
        tops, lefts = starts(height, high, self.overlap), starts(width, wide, self.overlap)
        count = max(1, self.batch_size // len(lefts))  # rows of windows that go together
        groups = [tops[first : first + count] for first in range(0, len(tops), count)]
        tall = max(group[-1] - group[0] for group in groups) + high
        for group, following in zip(groups, [*(g[0] for g in groups[1:]), height], strict=True):
            top = group[0]
            strip = rows(top, group[-1] + high)
            if weight is None:
                weight = torch.outer(self.weigh(high), self.weigh(wide)).to(strip.device)
                total = weight.new_zeros(tall, width)
            grid = [
                (slice(down - top, down - top + high), slice(left, left + wide))
                for down in group
                for left in lefts
            ]
            for first in range(0, len(grid), self.batch_size):
                places = grid[first : first + self.batch_size]
                windows = torch.cat([strip[..., *place] for place in places])
                for name, out in self.whole(model, windows).items():
                    channels[name] = out.shape[1]
                    values = to_probabilities(out) if name in self.scores else out
                    if name not in sums:
                        shape = (len(strip), values.shape[1], tall, width)
                        sums[name] = values.new_zeros(shape)
                    for place, part in zip(places, values.chunk(len(places)), strict=True):
                        sums[name][..., *place] += part * weight
                for place in places:
                    total[place] += weight
            done = following - top
            yield top, self._finish(sums, total, done, channels)
            for held in (*sums.values(), total):
                shift(held, done)

    def _finish(
        self, sums: dict[str, Tensor], total: Tensor, done: int, channels: dict[str, int]
    ) -> dict[str, Tensor]:
        """The means of the first `done` rows, in the place of their sums."""
        means = {name: held[:, :, :done].div_(total[:done]) for name, held in sums.items()}
        return {
            name: to_scores(log_(mean), channels[name]) if name in self.scores else mean
            for name, mean in means.items()
        }


def gaussian(length: int) -> Tensor:
    """Weights along a side; a standard deviation is an eighth of it."""
    place = torch.arange(length) - (length - 1) / 2
    return torch.exp(-0.5 * (place / (length / 8)) ** 2)


WEIGHTS: dict[str, Callable[[int], Tensor]] = {"gaussian": gaussian, "flat": torch.ones}


def starts(length: int, window: int, overlap: float) -> list[int]:
    """Where windows start along a side so that they cover it, the last one ending with it."""
    step = max(1, round(window * (1 - overlap)))
    count = math.ceil((length - window) / step) + 1
    return [min(index * step, length - window) for index in range(count)]


def shift(held: Tensor, done: int) -> None:
    """Move the rows of (..., h, W) up by `done` in place, and clear those that come free."""
    kept = held.shape[-2] - done
    for first in range(0, kept, done):  # blocks, so that none is written over before it is read
        last = min(first + done, kept)
        held[..., first:last, :] = held[..., first + done : last + done, :]
    held[..., kept:, :] = 0
