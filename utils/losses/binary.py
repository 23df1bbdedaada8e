"""Two classes on one channel."""

from __future__ import annotations

import torch
from torch import Tensor


def channels_for(num_classes: int, one_channel: bool) -> int:
    """Channels a loss asks of the model: one a class, or one for two classes.

    Raises:
        ValueError: If one channel is asked for and there are not two classes.
    """
    if one_channel and num_classes != 2:
        raise ValueError(f"one_channel is for two classes; the data set has {num_classes}")
    return 1 if one_channel else num_classes


def as_two_channels(prediction: Tensor) -> Tensor:
    """Scores (B, 1, H, W) of class 1 as those of two classes, whose softmax is their sigmoid.

    More channels are given back as they came.
    """
    if prediction.shape[1] > 1:
        return prediction
    return torch.cat([torch.zeros_like(prediction), prediction], dim=1)
