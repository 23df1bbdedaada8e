"""From the loss of a batch to an update of the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from utils.averaging import MovingAverage
from utils.errors import UserError


class Updater:
    """Loss scaling, accumulation, clipping, the optimizer, its schedule, the moving average.

    Args:
        model: Its parameters are updated.
        optimizer: Holds them.
        scheduler: Steps with the optimizer, or None.
        scaler: Scales the loss for float16; disabled otherwise.
        total: Batches of the run.
        accumulate: Batches that make one update.
        clip_grad_norm: Largest norm of the gradient, or None.
        ema_decay: Decay of the moving average; 0 for none.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        scaler: torch.amp.GradScaler,
        total: int,
        accumulate: int,
        clip_grad_norm: float | None,
        ema_decay: float,
    ):
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.scaler, self.total, self.accumulate = scaler, total, accumulate
        self.clip_grad_norm = clip_grad_norm
        self.average = MovingAverage(model, ema_decay) if ema_decay else None

    @property
    def lr(self) -> float:
        """The learning rate of the last group, which is no encoder's."""
        return self.optimizer.param_groups[-1]["lr"]

    def due(self, iteration: int) -> bool:
        """Whether an update follows the batch of that number, counted from 1."""
        return iteration % self.accumulate == 0 or iteration == self.total

    def backward(self, loss: Tensor, iteration: int) -> bool:
        """Add the gradient of the batch of that number; True if the weights were updated."""
        rest = self.total % self.accumulate  # the run's last group may be smaller
        group = rest if iteration > self.total - rest else self.accumulate
        self.scaler.scale(loss / group).backward()
        if not self.due(iteration):
            return False
        if self.clip_grad_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.scheduler is not None:
            self.scheduler.step()
        if self.average is not None:
            self.average.update(self.model)
        return True

    def state(self) -> dict[str, Any]:
        """The checkpoint's entries for what it holds."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "scaler": self.scaler.state_dict(),
            "ema": self.average.state() if self.average else None,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take them from a checkpoint; rates and other settings stay those of this config.

        Raises:
            UserError: If the optimizer's parameters are other ones.
        """
        groups = self.optimizer.param_groups
        settings = [{k: v for k, v in group.items() if k != "params"} for group in groups]
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except ValueError as error:
            raise misfit(str(error)) from error
        for group, own in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(own)
        if self.scheduler is not None and state["lr_scheduler"] is not None:
            self.scheduler.load_state_dict(state["lr_scheduler"])
        if self.scaler.is_enabled() and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        if self.average is not None and state["ema"] is not None:
            self.average.load(state["ema"])


def misfit(reason: str) -> UserError:
    return UserError(
        f"the checkpoint's optimizer does not fit this config's: {reason}; start from its weights "
        'alone with "init_from"'
    )
