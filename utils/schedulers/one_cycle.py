"""One rise and one fall of the rate, with the momentum opposed."""

from __future__ import annotations

import math

from torch.optim import Optimizer

from utils.schedulers.registry import SCHEDULERS
from utils.schedulers.schedule import Formula


@SCHEDULERS.register
class OneCycle(Formula):
    """From lr / div up to lr, then down to lr / (div * final_div); momentum goes the other way.

    With P = rise * T, step t of T is t / P of the way up until P, then (t - P) / (T - 1 - P) of the
    way down; the share p of a way from a to b gives b + (a - b) * (1 + cos(pi * p)) / 2. Momentum,
    or the first beta of an optimizer like Adam, goes from its high to its low and back.
    Smith and Topin, Super-Convergence, 2017 (arXiv:1708.07120).

    The divisors are those of pytorch-segmentation's code. Its README speaks of lr / 10 at the start
    and lr / 25 at the end, which is `"div": 10, "final_div": 2.5`. There, the way down ends one
    step after the run; here, the last step has the last rate.

    Args:
        optimizer: Its groups' rates are the peaks.
        total_steps: Optimizer steps of the run, T.
        rise: Share of the run that goes up, between 0 and 1.
        div: Peak over first rate.
        final_div: First rate over last rate.
        momentum: High and low, 0-1; null leaves the optimizer's own.
    Raises:
        ValueError: If a number is out of range, or the optimizer has no momentum to move.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        rise: float = 0.3,
        div: float = 25.0,
        final_div: float = 1e4,
        momentum: tuple[float, float] | None = (0.95, 0.85),
    ):
        if not 0 < rise < 1:
            raise ValueError(f"rise is {rise}; it is a share of the run, between 0 and 1")
        if div < 1 or final_div <= 0:
            raise ValueError(f"div ({div}) must be 1 or more, and final_div ({final_div}) above 0")
        if momentum and not 0 <= momentum[1] <= momentum[0] < 1:
            raise ValueError(f"momentum is {list(momentum)}; write [high, low], both from 0 to 1")
        if momentum and not {"momentum", "betas"} & optimizer.defaults.keys():
            raise ValueError(f'{type(optimizer).__name__} has no momentum; set "momentum" to null')
        self.total_steps, self.peak = total_steps, rise * total_steps
        self.first, self.last, self.momentum = 1 / div, 1 / (div * final_div), momentum
        super().__init__(optimizer)

    def share(self, step: int) -> float:
        return self._between(step, self.first, 1.0, self.last)

    def rates(self) -> list[float]:
        """The rates; the momentum is set on the way, as torch's OneCycleLR does it."""
        if self.momentum:
            high, low = self.momentum
            self._move_momentum(self._between(self.last_epoch, high, low, high))
        return super().rates()

    def _between(self, step: int, first: float, peak: float, last: float) -> float:
        step = min(step, self.total_steps - 1)
        if step <= self.peak:
            return along(step / self.peak, first, peak)
        return along((step - self.peak) / (self.total_steps - 1 - self.peak), peak, last)

    def _move_momentum(self, value: float) -> None:
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (value, *group["betas"][1:])
            else:
                group["momentum"] = value


def along(share: float, start: float, end: float) -> float:
    """That share of the way from start to end, slow at both."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
