"""The image in one piece."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from utils.predictors.predictor import PREDICTORS, Predictor


@PREDICTORS.register
class Whole(Predictor):
    """Pad right and bottom by the image's own edge to the model's stride, predict, cut back."""

    def __call__(self, model: nn.Module, image: Tensor) -> dict[str, Tensor]:
        height, width = image.shape[-2:]
        stride = max(getattr(model, "stride", 1), 1)
        low, right = -height % stride, -width % stride
        if low or right:
            image = F.pad(image, (0, right, 0, low), mode="replicate")
        outputs = model(image)
        return {
            name: out[..., :height, :width].float()
            for name, out in outputs.items()
            if name != "aux"
        }
