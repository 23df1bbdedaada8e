"""Class scores as probabilities and back: what is averaged over windows, scales and flips."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.losses.binary import as_two_channels


def to_probabilities(scores: Tensor) -> Tensor:
    """Softmax of scores (B, C, H, W); one channel, the score of class 1, becomes two."""
    return as_two_channels(scores).softmax(dim=1)


def to_scores(logs: Tensor, channels: int) -> Tensor:
    """Logarithms of probabilities as scores of so many channels, those `to_probabilities` read.

    With one channel the difference of the two, whose sign and sigmoid are those of a logit.
    """
    return logs[:, 1:] - logs[:, :1] if channels == 1 else logs


def log_(probabilities: Tensor) -> Tensor:
    """Logarithm in place, finite where a probability is 0."""
    return probabilities.clamp_min_(torch.finfo(probabilities.dtype).tiny).log_()
