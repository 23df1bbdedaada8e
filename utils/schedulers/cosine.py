"""Cosine decay."""

from __future__ import annotations

import math

from torch.optim import Optimizer

from utils.schedulers.registry import SCHEDULERS
from utils.schedulers.schedule import Formula


@SCHEDULERS.register
class Cosine(Formula):
    """min_lr + (lr - min_lr) * (1 + cos(pi * t / T)) / 2 at step t of T; half a wave, no restarts.

    Loshchilov and Hutter, SGDR, 2017 (arXiv:1608.03983). As in `Poly`, t stops at T - 1.

    Args:
        optimizer: Its groups' rates are the starting points.
        total_steps: Optimizer steps of the run, T.
        min_lr: Rate at the end; a group that starts below it keeps its rate.
    Raises:
        ValueError: If min_lr is negative, or every group starts below it.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, min_lr: float = 0.0):
        if min_lr < 0:
            raise ValueError(f"min_lr ({min_lr}) must not be negative")
        self.total_steps, self.min_lr = total_steps, min_lr
        super().__init__(optimizer)

    def share(self, step: int) -> float:
        return (1 + math.cos(math.pi * min(step / self.total_steps, 1))) / 2

    def rate(self, lr: float, share: float, warm_up: float) -> float:
        low = min(self.min_lr, lr)
        return (low + (lr - low) * share) * warm_up
