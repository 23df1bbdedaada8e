"""Polynomial decay."""

from __future__ import annotations

from torch.optim import Optimizer

from utils.schedulers.registry import SCHEDULERS
from utils.schedulers.schedule import Formula


@SCHEDULERS.register
class Poly(Formula):
    """lr * (1 - t / T) ^ power at step t of T, never below min_lr; the usual one for segmentation.

    Chen et al., DeepLab, 2016 (arXiv:1606.00915). The last step has a rate above zero, since t
    stops at T - 1; steps after T keep min_lr.

    Args:
        optimizer: Its groups' rates are the starting points.
        total_steps: Optimizer steps of the run, T.
        power: Exponent; 1 is a straight line.
        min_lr: Rate below which no group goes; one that starts below it keeps its rate.
    Raises:
        ValueError: If power or min_lr is negative, or every group starts below min_lr.
    """

    def __init__(
        self, optimizer: Optimizer, total_steps: int, power: float = 0.9, min_lr: float = 0.0
    ):
        if power < 0 or min_lr < 0:
            raise ValueError(f"power ({power}) and min_lr ({min_lr}) must not be negative")
        self.total_steps, self.power, self.min_lr = total_steps, power, min_lr
        super().__init__(optimizer)

    def share(self, step: int) -> float:
        return max(1 - step / self.total_steps, 0) ** self.power
