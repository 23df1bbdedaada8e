"""Test-time augmentation: scales and flips, averaged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from utils.predictors.predictor import PREDICTORS, Predictor
from utils.predictors.probabilities import log_, to_probabilities, to_scores

# what is summed of a probability, and the mean of it as a logarithm
MEANS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "arithmetic": (lambda p: p, log_),
    "geometric": (log_, lambda mean: mean),
    "sharpen": (lambda p: p.sqrt_(), lambda mean: 2 * log_(mean)),
}


@PREDICTORS.register
class MultiScale(Predictor):
    """Predict the image at several scales and mirrored, and average what comes back.

    The image is resized bilinearly, predicted, and the prediction resized back. Class scores are
    averaged as probabilities p, which pytorch-segmentation does not: it averages logits. With one
    scale and `flip` this is plain flipping; `Flip` is a name for it. Embeddings are averaged as
    they are, which makes sense only if the network gives an object the same embedding in every
    view.

    Args:
        scales: Factors on height and width.
        flip: Predict each scale mirrored left to right too.
        mean: "arithmetic" of p, "geometric" (of log p), or "sharpen" (of the square root of p,
            then squared; between the other two). The last two are up to a factor that is equal for
            all classes of a pixel.
        predictor: Predicts each view; Whole if left out.
        scores: Outputs that hold class scores; the program passes them.
    Shape:
        image (B, in_channels, H, W) -> each output (B, C, H, W).
    Raises:
        ValueError: If there is no scale or one is not above 0.
    """

    def __init__(
        self,
        scales: list[float] = (0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
        flip: bool = True,
        mean: Literal["arithmetic", "geometric", "sharpen"] = "arithmetic",
        predictor: Annotated[dict, "predictor"] | None = None,
        scores: Sequence[str] = ("out",),
    ):
        if not scales or not all(0 < scale < math.inf for scale in scales):
            raise ValueError(f"scales are {list(scales)}; give one or more numbers above 0")
        self.views = [
            (scale, mirrored) for scale in scales for mirrored in (False, True)[: 1 + flip]
        ]
        self.summed, self.averaged = MEANS[mean]
        self.scores = tuple(scores)
        self.predictor = PREDICTORS.build(predictor or "Whole", scores=self.scores)

    def __call__(self, model: nn.Module, image: Tensor) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}
        channels: dict[str, int] = {}
        for scale, mirrored in self.views:
            view = resize(image, [max(1, round(side * scale)) for side in image.shape[-2:]])
            outputs = self.predictor(model, view.flip(-1) if mirrored else view)
            for name, out in outputs.items():
                channels[name] = out.shape[1]
                values = to_probabilities(out) if name in self.scores else out
                values = resize(values, image.shape[-2:])
                values = values.flip(-1) if mirrored else values
                if name in self.scores:
                    values = self.summed(values)
                sums[name] = sums[name] + values if name in sums else values
        means = {name: total / len(self.views) for name, total in sums.items()}
        return {
            name: to_scores(self.averaged(mean), channels[name]) if name in self.scores else mean
            for name, mean in means.items()
        }


PREDICTORS.alias("Flip", "MultiScale", scales=[1.0], flip=True)


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, H, W) bilinearly to another size; as it is where it has that size."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)
