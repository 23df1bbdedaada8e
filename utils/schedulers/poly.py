"""Polynomial decay."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from utils.schedulers.registry import SCHEDULERS


@SCHEDULERS.register
class Poly(LRScheduler):
    """lr * (1 - t / T) ^ power at step t of T, never below min_lr; the usual one for segmentation.

    Chen et al., DeepLab, 2016 (arXiv:1606.00915). The last step has a rate above zero, since t
    stops at T - 1; steps after T keep min_lr.

    Args:
        optimizer: Its groups' rates are the starting points.
        total_steps: Optimizer steps of the run, T.
        power: Exponent; 1 is a straight line.
        min_lr: Rate below which no group goes.
        warmup_steps: Steps at the start over which the rate rises in a straight line.
    Raises:
        ValueError: If power or min_lr is negative, or the warm-up is as long as the run.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        power: float = 0.9,
        min_lr: float = 0.0,
        warmup_steps: int = 0,
    ):
        if power < 0 or min_lr < 0:
            raise ValueError(f"power ({power}) and min_lr ({min_lr}) must not be negative")
        if warmup_steps and not 0 <= warmup_steps < total_steps:
            raise ValueError(f"warmup_steps is {warmup_steps}, but the run has {total_steps} steps")
        self.total_steps, self.power = total_steps, power
        self.min_lr, self.warmup_steps = min_lr, warmup_steps
        super().__init__(optimizer)

    def state_dict(self) -> dict[str, int]:
        """The step it stands at; all else is the config's word."""
        return {"step": self.last_epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Stand at that step, with the rates that this config has there."""
        self.last_epoch, self._step_count = state["step"], state["step"] + 1
        self._last_lr = self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = lr

    def get_lr(self) -> list[float]:
        t = self.last_epoch  # torch's name for the count of steps
        factor = max(1 - t / self.total_steps, 0) ** self.power
        if t < self.warmup_steps:
            factor *= (t + 1) / (self.warmup_steps + 1)
        return [max(lr * factor, min(self.min_lr, lr)) for lr in self.base_lrs]
