"""The promise of every schedule."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from utils.errors import UserError
from utils.schedulers.warm_up import WarmUp


class Schedule(LRScheduler, ABC):
    """Sets the rates of an optimizer's groups, stepped once after each optimizer step.

    Beyond torch's it has a warm-up in front, may hear of scores, and its state is the number of
    steps: all else follows from the config, so a resumed run has the same rates to the bit, and
    one resumed under another config has the rates that this one has there.

    Attributes:
        follows_score: Whether it changes nothing unless `step_on` is called.
    """

    follows_score = False
    warm_up = WarmUp(total_steps=0)

    @abstractmethod
    def rates(self) -> list[float]:
        """The groups' rates at this step, under the warm-up."""

    def begin(self, warm_up: WarmUp) -> None:
        """Put a warm-up in front; called once, before the first step."""
        self.warm_up = warm_up
        self._set(self.rates())

    def step_on(self, score: float) -> None:  # noqa: B027 - most schedules go by steps alone
        """Hear of a validation's monitored score; greater is better, NaN where undefined."""

    def forget_scores(self) -> None:  # noqa: B027
        """Another score is followed from here on."""

    def state_dict(self) -> dict[str, Any]:
        """The step it stands at; all else is the config's word."""
        return {"step": self.last_epoch}

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand at that step, with the rates that this config has there."""

    def _set(self, rates: list[float]) -> None:
        self._last_lr = rates
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr


class Formula(Schedule):
    """A schedule whose rates follow from the step's number; a subclass writes `share`.

    Attributes:
        min_lr: Rate below which no group goes but in the warm-up, unless it starts there.
    """

    min_lr = 0.0

    def __init__(self, optimizer: Optimizer):
        highest = max(group["lr"] for group in optimizer.param_groups)
        if self.min_lr > highest:
            raise ValueError(
                f"min_lr is {self.min_lr}, above the rate of every group, of which the highest is "
                f"{highest:g}: nothing would ever change; lower it, or raise the optimizer's lr"
            )
        super().__init__(optimizer)

    @abstractmethod
    def share(self, step: int) -> float:
        """The share of a group's own rate at that step."""

    def rate(self, lr: float, share: float, warm_up: float) -> float:
        """The rate of a group whose own is `lr`."""
        floor = min(self.min_lr, lr)
        return lr * (share * warm_up) if lr * share >= floor else floor * warm_up

    def rates(self) -> list[float]:
        step = self.last_epoch  # torch's name for the count of steps
        share, warm_up = self.share(step), self.warm_up(step)
        return [self.rate(lr, share, warm_up) for lr in self.base_lrs]

    def get_lr(self) -> list[float]:
        return self.rates()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.last_epoch, self._step_count = state["step"], state["step"] + 1
        self._set(self.rates())


class Adopted(Schedule):
    """A schedule in torch's manner, where a rate follows from the one before.

    It never sees the warm-up: its own rates are put back before each of its steps. Its state is
    loaded by taking the steps again, which gives the same bits (100,000 steps take a second).

    Raises:
        UserError: In a step, if its arguments do not allow it, as OneCycleLR's past its end.
    """

    own: list[float] | None = None

    def get_lr(self) -> list[float]:
        if self.own is not None:
            self._set(self.own)
        try:
            self.own = super().get_lr()
        except (ValueError, ZeroDivisionError) as error:
            raise UserError(f"scheduler {type(self).__name__}: {error}") from error
        return self.rates()

    def rates(self) -> list[float]:
        scale = self.warm_up(self.last_epoch)
        return [lr * scale for lr in self.own]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with warnings.catch_warnings(action="ignore"):  # that the optimizer has not stepped
            while self.last_epoch < state["step"]:
                self.step()


def adopted(cls: type[LRScheduler]) -> type[Schedule]:
    """That class as a `Schedule`, under its own name and with its own arguments."""
    return type(
        cls.__name__, (Adopted, cls), {"__doc__": cls.__doc__, "__module__": cls.__module__}
    )
