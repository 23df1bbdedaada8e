"""Rates that fall in steps."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Literal

from torch.optim import Optimizer

from utils.schedulers.registry import SCHEDULERS
from utils.schedulers.schedule import Formula

log = logging.getLogger("segforge")


@SCHEDULERS.register
class Step(Formula):
    """lr * factor ^ floor(t / every) at step t, never below min_lr.

    TensorFlow calls it an exponential decay as a staircase.

    Args:
        optimizer: Its groups' rates are the starting points.
        total_steps: Optimizer steps of the run.
        every: Distance of the falls, in units.
        unit: "epochs" or optimizer "steps".
        factor: What the rates are multiplied by, above 0.
        min_lr: Rate below which no group goes; one that starts below it keeps its rate.
        steps_per_epoch: Optimizer steps of an epoch.
    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        every: float,
        unit: Literal["epochs", "steps"] = "epochs",
        factor: float = 0.1,
        min_lr: float = 0.0,
        steps_per_epoch: int | None = None,
    ):
        require_fall(factor, min_lr)
        self.every = round(every * length(unit, total_steps, steps_per_epoch))
        if self.every < 1:
            raise ValueError(f"every is {every} {unit}; it must make at least one optimizer step")
        self.factor, self.min_lr = factor, min_lr
        super().__init__(optimizer)

    def share(self, step: int) -> float:
        return self.factor ** (step // self.every)


@SCHEDULERS.register
class MultiStep(Formula):
    """lr * factor ^ (milestones passed) at step t, never below min_lr.

    Args:
        optimizer: Its groups' rates are the starting points.
        total_steps: Optimizer steps of the run.
        milestones: Where the rates fall, in units, rising.
        unit: "run" for fractions of it, "epochs" or optimizer "steps".
        factor: What the rates are multiplied by, above 0.
        min_lr: Rate below which no group goes; one that starts below it keeps its rate.
        steps_per_epoch: Optimizer steps of an epoch.
    Raises:
        ValueError: If a number is out of range, the milestones do not rise, or do not as whole
            steps; fractions of a run too short for them are only warned of, as are milestones
            beyond the run.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        milestones: list[float],
        unit: Literal["run", "epochs", "steps"] = "run",
        factor: float = 0.1,
        min_lr: float = 0.0,
        steps_per_epoch: int | None = None,
    ):
        require_fall(factor, min_lr)
        if not milestones or milestones[0] <= 0 or any(a >= b for a, b in pairwise(milestones)):
            raise ValueError(f"milestones are {milestones}; they must rise, from above 0")
        if unit == "run" and milestones[-1] >= 1:
            raise ValueError(
                f"milestones are {milestones}, as fractions of the run between 0 and 1; "
                'if they are epochs or steps, set "unit" to that'
            )
        size = length(unit, total_steps, steps_per_epoch)
        self.milestones = [round(milestone * size) for milestone in milestones]
        self._doubt(milestones, unit, total_steps)
        self.factor, self.min_lr = factor, min_lr
        super().__init__(optimizer)

    def _doubt(self, milestones: list[float], unit: str, total_steps: int) -> None:
        """Say which milestones do nothing of their own in this run."""
        if self.milestones[0] < 1 or any(a >= b for a, b in pairwise(self.milestones)):
            fault = (
                f"milestones {milestones} ({unit}) come to the optimizer steps {self.milestones}; "
                "they must rise, from above 0"
            )
            if unit != "run":
                raise ValueError(fault)
            log.warning("MultiStep: %s: the run has only %d", fault, total_steps)
        late = [step for step in self.milestones if step >= total_steps]
        if late:
            log.warning(
                "MultiStep: the run's %d optimizer steps end before the milestones at the steps %s",
                total_steps,
                late,
            )

    def share(self, step: int) -> float:
        return self.factor ** sum(step >= milestone for milestone in self.milestones)


def length(unit: str, total_steps: int, steps_per_epoch: int | None) -> int:
    """Optimizer steps of a unit."""
    if unit == "epochs" and steps_per_epoch is None:
        raise ValueError('an epoch\'s length is not known here; set "unit" to another')
    return {"run": total_steps, "epochs": steps_per_epoch, "steps": 1}[unit]


def require_fall(factor: float, min_lr: float) -> None:
    if factor <= 0 or min_lr < 0:
        raise ValueError(f"factor ({factor}) must be above 0, and min_lr ({min_lr}) not negative")
