"""The promise of every trainer, and the loop they share."""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor

from base.base_dataloader import to_device
from base.parts import Parts
from utils.device import autocast, autocast_dtype
from utils.errors import UserError
from utils.interrupt import Interrupted, StopRequest
from utils.monitor import Monitor
from utils.network import make_network
from utils.progress import Progress
from utils.registry import Registry
from utils.run_folder import RunFolder
from utils.run_length import run_length
from utils.seed import random_state, restore_random_state
from utils.updater import Updater, misfit

log = logging.getLogger("segforge")

TRAINERS = Registry("trainer", supplied=("parts",), flat=True, default="Trainer")


class BaseTrainer(ABC):
    """Runs iterations, validates, follows the best score, saves, resumes, stops when asked.

    An iteration is one batch through the network. What is done with it is `step`, which a subclass
    writes; what follows an update of the weights is `after_update`.

    Args:
        parts: What it works with.
        epochs: Passes over the training data.
        iterations: Length of the run in batches, in place of epochs.
        save_dir: Folder of all runs.
        save_period: Keep `checkpoint-epochN.pth` every so many epochs; 0 for never.
        save_every_minutes: Write `last.pth` inside an epoch as often; 0 for never.
        save_every_iterations: Likewise, counted in batches.
        monitor: "max <score>", "min <score>" or "off": which validation is kept as best.
        early_stop: Stop after so many validations without a better score; 0 for never.
        val: Validate at all.
        val_per_epochs: Epochs from one validation to the next; one always ends the run.
        val_every_iterations: Likewise in batches, in place of epochs.
        tensorboard: Write TensorBoard events.
        log_dir: Folder for them, `<log_dir>/<name>/<run>`; the run's own folder without it.
        log_per_iter: Batches from one TensorBoard point to the next.
        amp: Mixed precision: true, "bf16" or "fp16". True is bf16, or fp16 on GPUs without it.
        channels_last: Keep images and weights channels last in memory; often faster.
        compile: Compile the model with torch.compile.
        accumulate: Batches whose gradients make one update of the weights.
        clip_grad_norm: Largest norm of the gradient; null for no limit.
        ema_decay: Keep a moving average of the weights with this decay, such as 0.999, and
            validate, save and predict with it; 0 for none.
        deterministic: Take deterministic algorithms, and warn where there is none.
    Raises:
        ValueError: If the length is missing or a number is out of range.
    """

    command = "python train.py"  # as the user called it, without the config

    def __init__(
        self,
        parts: Parts,
        epochs: int | None = None,
        iterations: int | None = None,
        save_dir: str = "saved/",
        save_period: int = 0,
        save_every_minutes: float = 0,
        save_every_iterations: int = 0,
        monitor: str = "max Mean_IoU",
        early_stop: int = 0,
        val: bool = True,
        val_per_epochs: int = 1,
        val_every_iterations: int | None = None,
        tensorboard: bool = True,
        log_dir: str | None = None,
        log_per_iter: int = 20,
        amp: bool | Literal["bf16", "fp16"] = False,
        channels_last: bool = False,
        compile: bool = False,
        accumulate: int = 1,
        clip_grad_norm: float | None = None,
        ema_decay: float = 0.0,
        deterministic: bool = False,
    ):
        at_least(
            0,
            save_period=save_period,
            save_every_minutes=save_every_minutes,
            save_every_iterations=save_every_iterations,
            early_stop=early_stop,
        )
        at_least(
            1,
            val_per_epochs=val_per_epochs,
            val_every_iterations=val_every_iterations,
            log_per_iter=log_per_iter,
            accumulate=accumulate,
        )
        if not 0 <= ema_decay < 1:
            raise ValueError(f"ema_decay is {ema_decay}; it goes from 0 to just below 1")
        if clip_grad_norm is not None and clip_grad_norm <= 0:
            raise ValueError(f"clip_grad_norm is {clip_grad_norm}; it is above zero, or null")
        self.loss = parts.loss
        self.train_loader, self.order = parts.train_loader, parts.train_loader.order
        self.validate = parts.validate if val else None
        self.reporter, self.identity = parts.reporter, parts.identity
        self.device = parts.devices[0]
        self.save_dir, self.save_period = save_dir, save_period
        self.save_every_seconds = 60 * save_every_minutes
        self.save_every_iterations = save_every_iterations
        self.log_per_iter = log_per_iter

        self.per_epoch = len(self.order)
        self.total, _ = run_length(epochs, iterations, accumulate, self.per_epoch)
        self.val_every = val_every_iterations or val_per_epochs * self.per_epoch
        self.monitor = Monitor(monitor if self.validate else "off", parts.score_names, early_stop)
        if self.monitor.key is None and parts.scheduler and parts.scheduler.follows_score:
            name = type(parts.scheduler).__name__
            raise ValueError(f"{name} follows a score: set monitor, and give a val_loader")

        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = parts.model.to(memory_format=self.memory_format)
        self.dtype = autocast_dtype(amp, self.device)
        self.network = make_network(self.model, parts.devices, self.dtype, compile)
        self.updater = Updater(
            self.model,
            parts.optimizer,
            parts.scheduler,
            torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16),
            self.total,
            self.per_epoch,
            accumulate,
            clip_grad_norm,
            ema_decay,
        )

        self.iteration = self.validated_at = self.saved_iteration = 0
        self.saved_at = time.monotonic()

    @abstractmethod
    def step(self, batch: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Loss terms by name, whose sum is minimised, and the model's outputs, for one batch.

        The batch is on the device; mixed precision is on. Run `self.network`, not `self.model`.
        """

    def after_update(self) -> None:  # noqa: B027 - most trainers have nothing to do here
        """Called after each update of the weights."""

    def fit(self, folder: RunFolder) -> dict[str, float | None]:
        """Train to the end of the run, from wherever the state stands.

        Returns:
            The monitored score's best value under its name.

        Raises:
            Interrupted: If a signal asked to stop; `last.pth` is written.
            UserError: If a loss is not finite, or a file went bad.
        """
        self.folder = self.reporter.folder = folder
        self.finished = self.iteration >= self.total or self.monitor.exhausted
        self.saved_at = time.monotonic()
        self.network.train()
        with StopRequest() as self.stop:
            if self._validation_due():  # the run was stopped before this one
                self._close_iteration()
            while not self.finished:
                self._train_epoch()
        return {self.monitor.key: self.monitor.best} if self.monitor.key else {}

    def try_step(self) -> None:
        """One batch forward and backward; nothing is written."""
        self.network.train()
        self._train_iteration(next(iter(self.train_loader)))

    def _train_epoch(self) -> None:
        """The batches of this epoch that are left."""
        place = (self.order.epoch, self.iteration, self.total, self.per_epoch, self.order.position)
        with Progress(*place) as progress:
            for batch in progress.watch(self.train_loader):
                terms, outputs = self._train_iteration(batch)
                progress.advance(len(batch["name"]), sum(terms.values()))
                if self.iteration % self.log_per_iter == 0 or self.order.position == 0:
                    groups = self.updater.optimizer.param_groups
                    self.reporter.point(
                        terms, outputs, batch["target"], groups, self.iteration, progress
                    )
                self._close_iteration(progress)
                if self.finished:
                    break
            progress.finish()

    def _train_iteration(self, batch: dict[str, Any]) -> tuple[dict[str, float], dict[str, Tensor]]:
        image = batch["image"].to(self.device, non_blocking=True)
        batch["image"] = image.to(memory_format=self.memory_format)
        batch["target"] = to_device(batch["target"], self.device)
        with autocast(self.device, self.dtype):
            terms, outputs = self.step(batch)
        values = {name: float(term.detach()) for name, term in terms.items()}
        self._refuse_non_finite(values, batch["name"])
        self.iteration += 1
        self.order.advance()
        self.reporter.count(values)
        if self.updater.backward(sum(terms.values()), self.iteration):
            self.after_update()
        return values, outputs

    def _close_iteration(self, progress: Progress | None = None) -> None:
        """Validate, save and stop, where that is due."""
        validated = self._validation_due()
        improved = validated and self._validate(progress)
        epoch_end = self.order.position == 0
        self.finished = self.iteration >= self.total or self.monitor.exhausted
        if validated or epoch_end or self._save_due():
            state = self.state()
            if improved:
                self.folder.save_checkpoint(state, "best_model.pth")
            if epoch_end and self.save_period and self.order.epoch % self.save_period == 0:
                self.folder.save_checkpoint(state, f"checkpoint-epoch{self.order.epoch}.pth")
            self._save_last(state)
        if self.monitor.exhausted and self.iteration < self.total:
            waited = self.monitor.waited
            log.info(
                "no better %s in the last %d validation(s): stopping", self.monitor.key, waited
            )
        if not self.finished and self.updater.due(self.iteration):
            self._stop_if_asked()

    def _validate(self, progress: Progress | None) -> bool:
        """Score, report and follow; True if this is the best so far."""
        if progress is not None:
            progress.pause()
        average = self.updater.average
        model = average.model if average is not None else self.model
        scores = self.validate(model, check=self._stop_if_asked)
        self.validated_at = self.iteration
        improved = self.monitor.update(scores)
        epoch = math.ceil(self.iteration / self.per_epoch)
        place = {"epoch": epoch, "iteration": self.iteration, "lr": self.updater.lr}
        self.reporter.validation(scores, improved, self.monitor, model, place)
        if self.monitor.key is not None:
            self.updater.hear(self.monitor.merit(scores))
        if progress is not None:
            progress.resume()
        return improved

    def state(self) -> dict[str, Any]:
        """A checkpoint: tensors and plain types only."""
        return {
            **self.identity,
            "epoch": self.order.epoch,
            "iteration": self.iteration,
            "state_dict": self.model.state_dict(),
            **self.updater.state(),
            "rng": random_state(),
            "sampler": self.order.state(),
            "monitor_best": self.monitor.best,
            "early_stop": self.monitor.waited,
            "validated_at": self.validated_at,
            "report": self.reporter.state(),
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state; the model's weights are loaded already.

        Raises:
            UserError: If the optimizer is another, or batches are counted differently.
        """
        self.order.load(state["sampler"])
        was, now = state["config"], self.identity["config"]
        if was["optimizer"]["type"] != now["optimizer"]["type"]:
            raise misfit(f"{was['optimizer']['type']} is not {now['optimizer']['type']}")
        length = ("epochs", "iterations", "accumulate")
        same_score = (was["trainer"]["monitor"], was["val_loader"]) == (
            now["trainer"]["monitor"],
            now["val_loader"],
        )
        self.updater.load(
            state,
            same_schedule=was["optimizer"] == now["optimizer"]
            and was["lr_scheduler"] == now["lr_scheduler"]
            and all(was["trainer"][key] == now["trainer"][key] for key in length),
            same_score=same_score,
        )
        self.iteration, self.validated_at = state["iteration"], state["validated_at"]
        self.saved_iteration = self.iteration
        if same_score:
            self.monitor.best, self.monitor.waited = state["monitor_best"], state["early_stop"]
        self.reporter.load(state["report"])
        restore_random_state(state["rng"])

    def _validation_due(self) -> bool:
        """Whether as many batches as asked for have gone by; never between two updates."""
        if not self.validate or self.iteration == self.validated_at:
            return False
        passed = self.iteration // self.val_every > self.validated_at // self.val_every
        return self.iteration == self.total or passed and self.updater.due(self.iteration)

    def _save_due(self) -> bool:
        if not self.updater.due(self.iteration):
            return False
        every = self.save_every_iterations
        by_count = every and self.iteration // every > self.saved_iteration // every
        waited = time.monotonic() - self.saved_at
        return bool(by_count or self.save_every_seconds and waited >= self.save_every_seconds)

    def _save_last(self, state: dict[str, Any]) -> str:
        path = self.folder.save_checkpoint(state, "last.pth")
        self.folder.flush()
        self.saved_at, self.saved_iteration = time.monotonic(), self.iteration
        return str(path)

    def _stop_if_asked(self) -> None:
        if self.stop.received is not None:
            path = self._save_last(self.state())
            raise Interrupted(
                f"stopped after iteration {self.iteration} of {self.total}; go on with:\n"
                f"  {self.command} -r {path}",
                self.stop.received,
            )

    def _refuse_non_finite(self, terms: dict[str, float], names: list[str]) -> None:
        for name, value in terms.items():
            if not math.isfinite(value):
                raise UserError(
                    f"the loss term {name!r} is {value} at iteration {self.iteration + 1}, on the "
                    f"batch {', '.join(names)}; lower the learning rate, set "
                    "trainer.clip_grad_norm, or look at these files"
                )


def at_least(least: int, **values: float | None) -> None:
    """Refuse a value below `least`; None passes."""
    for key, value in values.items():
        if value is not None and value < least:
            raise ValueError(f"{key} is {value}; {least} is the least")
