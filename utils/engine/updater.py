"""From the loss of a batch to an update of the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from utils.engine.averaging import MovingAverage
from utils.errors import UserError
from utils.schedulers import Schedule


class Updater:
    """Loss scaling, accumulation, clipping, the optimizer, its schedule, the moving average.

    Args:
        model: Its parameters are updated.
        optimizer: Holds them.
        scheduler: Steps with the optimizer, or None.
        scaler: Scales the loss for float16; disabled otherwise.
        total: Batches of the run.
        per_epoch: Batches of an epoch.
        accumulate: Batches that make one update; the last of an epoch may be fewer.
        clip_grad_norm: Largest norm of the gradient, or None.
        ema_decay: Decay of the moving average; 0 for none.

    Attributes:
        spoilt: Whether the update of this group is to be left out; for the trainer to set.
        refused: Updates in a row that float16's scaler left out, since the last that it made.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: Schedule | None,
        scaler: torch.amp.GradScaler,
        total: int,
        per_epoch: int,
        accumulate: int,
        clip_grad_norm: float | None,
        ema_decay: float,
    ):
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.scaler, self.accumulate = scaler, accumulate
        self.total, self.per_epoch = total, per_epoch
        self.clip_grad_norm = clip_grad_norm
        self.average = MovingAverage(model, ema_decay) if ema_decay else None
        self.spoilt, self.refused = False, 0
        self.begun = 0  # batches before the one that this run began with

    @property
    def lr(self) -> float:
        """The learning rate of the last group, which is no encoder's."""
        return self.optimizer.param_groups[-1]["lr"]

    def due(self, iteration: int) -> bool:
        """Whether an update follows the batch of that number, counted from 1."""
        return self._group(iteration)[1] == iteration

    def _group(self, iteration: int) -> tuple[int, int]:
        """First and last batch of the group that makes one update; none reaches over an epoch."""
        epoch = (iteration - 1) // self.per_epoch * self.per_epoch  # batches before this epoch
        first = epoch + (iteration - epoch - 1) // self.accumulate * self.accumulate + 1
        last = min(first + self.accumulate - 1, epoch + self.per_epoch, self.total)
        return max(first, self.begun + 1), last

    def backward(self, loss: Tensor, iteration: int) -> None:
        """Add the gradient of the batch of that number."""
        first, last = self._group(iteration)
        self.scaler.scale(loss / (last - first + 1)).backward()

    def gradient_norm(self) -> Tensor:
        """Norm of the gradient, before it is cut to the limit; without a loss scale."""
        self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self.clip_grad_norm is not None:
            nn.utils.clip_grads_with_norm_(self.model.parameters(), self.clip_grad_norm, norm)
        return norm

    def update(self) -> bool:
        """Move the weights, the schedule and the average, and begin a new group.

        Returns:
            False if the update was left out: its group is spoilt, or float16's scaler refused it.
        """
        scale = self.scaler.get_scale()
        if not self.spoilt:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        refused = self.scaler.get_scale() < scale or scale == 0  # a scale of 0 falls no further
        spoilt, self.spoilt = self.spoilt, False
        self.refused = self.refused + 1 if refused and not spoilt else 0
        if refused or spoilt:
            return False
        if self.scheduler is not None:
            self.scheduler.step()
        if self.average is not None:
            self.average.update(self.model)
        return True

    def hear(self, score: float) -> None:
        """Tell the schedule a validation's monitored score; greater is better."""
        if self.scheduler is not None:
            self.scheduler.step_on(score)

    def state(self) -> dict[str, Any]:
        """The checkpoint's entries for what it holds."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "scaler": self.scaler.state_dict(),
            "ema": self.average.state() if self.average else None,
        }

    def load(self, state: dict[str, Any], same_schedule: bool, same_score: bool = True) -> None:
        """Take them from a checkpoint.

        Args:
            state: The checkpoint.
            same_schedule: Whether its config has the same optimizer, schedule and length; otherwise
                rates and other settings are this config's.
            same_score: Whether its config monitors the same score on the same data.

        Raises:
            UserError: If the optimizer's parameters are other ones.
        """
        settings = [
            {k: v for k, v in g.items() if k != "params"} for g in self.optimizer.param_groups
        ]
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except ValueError as error:
            raise misfit(str(error)) from error
        self.begun = state["iteration"]  # another accumulate may divide the batches otherwise
        if not same_schedule:
            for group, own in zip(self.optimizer.param_groups, settings, strict=True):
                group.update(own)
        if self.scheduler is not None and state["lr_scheduler"] is not None:
            self.scheduler.load_state_dict(state["lr_scheduler"])
            if not same_score:
                self.scheduler.forget_scores()
        if self.scaler.is_enabled() and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        if self.average is not None and state["ema"] is not None:
            self.average.load(state["ema"])


def misfit(reason: str) -> UserError:
    return UserError(
        f"the checkpoint's optimizer does not fit this config's: {reason}; start from its weights "
        'alone with "init_from"'
    )
