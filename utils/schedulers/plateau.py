"""Rates that fall when the score stands still."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer

from utils.schedulers.registry import SCHEDULERS
from utils.schedulers.schedule import Formula


@SCHEDULERS.register
class Plateau(Formula):
    """lr * factor ^ k, never below min_lr; k grows when trainer.monitor's score stands still.

    It grows after the first validation in a row beyond `patience` whose score is not above
    best + threshold * |best|, or below for "min"; a score that is not defined is not better.
    torch's ReduceLROnPlateau, with the direction taken from `trainer.monitor`.

    Args:
        optimizer: Its groups' rates are the starting points.
        factor: What the rates are multiplied by, between 0 and 1.
        patience: Validations in a row without a better score that are borne.
        threshold: Least gain that counts, as a share of the best score.
        cooldown: Validations after a fall that are not counted.
        min_lr: Rate below which no group goes; one that starts below it keeps its rate.
    Raises:
        ValueError: If a number is out of range.
    """

    follows_score = True

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ):
        if not 0 < factor < 1:
            raise ValueError(f"factor is {factor}; it goes from above 0 to below 1")
        if min(patience, threshold, cooldown, min_lr) < 0:
            raise ValueError(
                f"patience ({patience}), threshold ({threshold}), cooldown ({cooldown}) and "
                f"min_lr ({min_lr}) must not be negative"
            )
        self.factor, self.patience, self.threshold = factor, patience, threshold
        self.cooldown, self.min_lr = cooldown, min_lr
        self.falls = self.waited = self.resting = 0
        self.best: float | None = None
        super().__init__(optimizer)

    def share(self, step: int) -> float:
        return self.factor**self.falls

    def step_on(self, score: float) -> None:
        if self._is_better(score):
            self.best, self.waited = score, 0
        else:
            self.waited += 1
        if self.resting > 0:
            self.resting, self.waited = self.resting - 1, 0
        if self.waited > self.patience:
            self.falls, self.waited, self.resting = self.falls + 1, 0, self.cooldown
            self._set(self.rates())

    def _is_better(self, score: float) -> bool:
        if self.best is None:
            return not math.isnan(score)
        return score > self.best + self.threshold * abs(self.best)

    def forget_scores(self) -> None:
        self.best, self.waited = None, 0

    def state_dict(self) -> dict[str, Any]:
        counts = {"falls": self.falls, "waited": self.waited, "resting": self.resting}
        return {**super().state_dict(), **counts, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.falls, self.waited = state.get("falls", 0), state.get("waited", 0)
        self.resting, self.best = state.get("resting", 0), state.get("best")
        super().load_state_dict(state)


SCHEDULERS.alias("ReduceLROnPlateau", "Plateau")
