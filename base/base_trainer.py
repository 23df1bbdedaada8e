"""The promise of every trainer, and the loop they share."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor

from base.parts import Parts
from base.trainer_state import resume_trainer, trainer_state
from utils.checkpoint import snapshot
from utils.checks import at_least
from utils.device import autocast, autocast_dtype, tell_of_amp
from utils.distributed import is_main, largest, share_buffers, together, world_size
from utils.engine.feed import on_device
from utils.engine.finite import Reading, Readings, refuse
from utils.engine.monitor import Monitor
from utils.engine.network import gradients_stay, make_network
from utils.engine.progress import Progress
from utils.engine.run_folder import RunFolder
from utils.engine.run_length import run_length
from utils.engine.saving import SavePlan
from utils.engine.updater import Updater
from utils.interrupt import Interrupted, StopAsked, StopRequest, way_on
from utils.registry import Registry

log = logging.getLogger("segforge")

MOST_REFUSED = 20  # updates in a row that float16's scaler may leave out: its scale is then 2^-4

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
        amp: Mixed precision: true, "bf16" or "fp16". True is bf16 where the device computes it
            itself; without it fp16 on GPUs, float32 on CPUs.
        channels_last: Keep images and weights channels last in memory; often faster.
        compile: Compile the model with torch.compile.
        accumulate: Batches whose gradients make one update of the weights.
        clip_grad_norm: Largest norm of the gradient; null for no limit.
        ema_decay: Keep a moving average of the weights with this decay, such as 0.999, and
            validate, save and predict with it; 0 for none.
        deterministic: Take deterministic algorithms, and warn where there is none.
        on_nan: Where a loss or gradient is not finite, "stop" or "skip" and count the whole update,
            waiting for the device at each step. 20 updates in a row that overflow float16 stop too.
        overfit_batches: Train on the first so many batches alone, unshuffled and augmented the same
            each time: what can learn comes to a loss near zero. Scores are val_loader's first ones.
        smoke: Go through the whole run with two batches of training and validation each.
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
        on_nan: Literal["stop", "skip"] = "stop",
        overfit_batches: int = 0,
        smoke: bool = False,
    ):
        at_least(
            0,
            save_period=save_period,
            save_every_minutes=save_every_minutes,
            save_every_iterations=save_every_iterations,
            early_stop=early_stop,
            overfit_batches=overfit_batches,
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
        self.save_plan = SavePlan(save_every_minutes, save_every_iterations)
        self.log_per_iter, self.skips = log_per_iter, on_nan == "skip"
        self.readings = Readings(self.device)
        self.group: list[str] = []  # names of what makes the next update

        self.per_epoch = len(self.order)
        self.total, _ = run_length(epochs, iterations, accumulate, self.per_epoch)
        self.val_every = val_every_iterations or val_per_epochs * self.per_epoch
        self.monitor = Monitor(monitor if self.validate else "off", parts.score_names, early_stop)
        if self.monitor.key is None and parts.scheduler and parts.scheduler.follows_score:
            name = type(parts.scheduler).__name__
            raise ValueError(f"{name} follows a score: set monitor, and give a val_loader")

        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = parts.model.to(memory_format=self.memory_format)
        tell_of_amp(amp, self.device)
        self.dtype = autocast_dtype(amp, self.device)
        self.network = make_network(self.model, parts.devices, self.dtype, compile)
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        moved = (self.model, parts.optimizer, parts.scheduler, scaler)
        length = (self.total, self.per_epoch, accumulate)
        self.updater = Updater(*moved, *length, clip_grad_norm, ema_decay)
        self.iteration = self.validated_at = 0

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
            UserError: If a loss or gradient is not finite, or a file went bad.
        """
        self.folder = self.reporter.folder = folder
        self.finished = self.iteration >= self.total or self.monitor.exhausted
        self.save_plan.saved(self.iteration)
        self.network.train()
        if self.iteration < self.total:
            about = (self.order, self.updater.lr)
            log.info("%s; learning rate %g, which does not follow their size", *about)
        else:
            log.info("all %d iterations are trained; for more, raise trainer.epochs", self.total)
        with StopRequest(speaks=is_main()) as self.stop:
            if self.iteration > self.validated_at:
                self.reporter.show_again(self.iteration)
            if self._validation_due():  # the run was stopped before this one
                self._close_iteration()
            while not self.finished:
                self._train_epoch()
            with together():
                folder.wait()
        return {self.monitor.key: self.monitor.best} if self.monitor.key else {}

    def try_step(self) -> None:
        """One batch forward and backward; nothing is written."""
        self.network.train()
        with together():
            batch = next(on_device(self.train_loader, self.device, self.memory_format))
        self._train_iteration(batch)
        self._read(everything=True)

    def _train_epoch(self) -> None:
        """The batches of this epoch that are left."""
        place = (self.order.epoch, self.iteration, self.total, self.per_epoch, self.order.position)
        with Progress(*place) as progress:
            for batch in progress.watch(self._batches()):
                outputs = self._train_iteration(batch)
                log_now = self.iteration % self.log_per_iter == 0 or self.order.position == 0
                self._read(progress, everything=log_now)
                if log_now:
                    groups = self.updater.optimizer.param_groups
                    self.reporter.point(outputs, batch["target"], groups, self.iteration, progress)
                self._close_iteration(progress)
                if self.finished:
                    break
            self._read(progress, everything=True)
            progress.finish()

    def _batches(self) -> Iterator[dict[str, Any]]:
        """What is left of the epoch; the processes go on together, or none does."""
        source = on_device(self.train_loader, self.device, self.memory_format)
        while True:
            with together():
                self.folder.check()
                batch = next(source, None)
            if batch is None:
                return
            yield batch

    def _train_iteration(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One step, and the update where one is due; gives the outputs."""
        due = self.updater.due(self.iteration + 1)
        kept = [b.clone() for b in self.model.buffers()] if self.skips else []
        with gradients_stay(self.network, inside=not due):
            with autocast(self.device, self.dtype):
                terms, outputs = self.step(batch)
            self.iteration += 1
            self.updater.backward(sum(terms.values()), self.iteration)
        self.order.advance()
        norm = self.updater.gradient_norm() if due else None
        self.group += batch["name"]
        told = self.updater.scaler.is_enabled() or self.updater.spoilt  # float16's has its own way
        about = (self.iteration, batch, terms, None if told else norm)
        reading = Reading(*about, list(self.group))
        self.readings.put(reading)
        if self.skips and not reading.read().is_finite:
            for buffer, before in zip(self.model.buffers(), kept, strict=True):
                buffer.copy_(before)
            self.updater.spoilt = True
        if due:
            if self.updater.update():
                self.after_update()
            elif self.updater.refused:  # by float16's scaler
                last = Reading(*about[:3], norm, self.group)
                if self.updater.refused == MOST_REFUSED and not self.skips:
                    refuse(last.read(), self.folder.path, MOST_REFUSED)
                self.reporter.refused(last, self.updater.scaler.get_scale())
            self.group = []
        return outputs

    def _read(self, progress: Progress | None = None, everything: bool = False) -> None:
        """Follow the numbers of the steps that the device is through with."""
        for reading in self.readings.take(everything):
            if reading.is_finite:
                self.reporter.count(reading.terms)
                if progress is not None:
                    images = len(reading.batch["name"]) * world_size()
                    progress.advance(images, sum(reading.terms.values()))
            elif self.skips:
                self.reporter.skip(reading)
            else:
                refuse(reading, getattr(self, "folder", None) and self.folder.path)

    def _close_iteration(self, progress: Progress | None = None) -> None:
        """Validate, save and stop, where that is due; every process does the same."""
        due, last = self.updater.due(self.iteration), self.iteration >= self.total
        save = last or due and self.save_plan.due(self.iteration)
        stop, save = largest(self.stop.received or 0, save)
        validated, epoch_end = self._validation_due(), self.order.position == 0
        if validated or epoch_end or save or stop:
            self._read(progress, everything=True)
        try:
            improved = validated and self._validate(progress)
        except StopAsked as asked:
            self._stop(*asked.args)
        self.finished = last or self.monitor.exhausted
        if validated or epoch_end or save:
            names = ["best_model.pth"] if improved else []
            if epoch_end and self.save_period and self.order.epoch % self.save_period == 0:
                names.append(f"checkpoint-epoch{self.order.epoch}.pth")
            self._save(*names, "last.pth")
        if self.monitor.exhausted and not last:
            why = (self.monitor.key, self.monitor.waited)
            log.info("no better %s in the last %d validation(s): stopping", *why)
        if stop and due and not self.finished:
            self._stop(stop)

    def _validate(self, progress: Progress | None) -> bool:
        """Score, report and follow; True if this is the best so far."""
        if progress is not None:
            progress.pause()
        average = self.updater.average
        model = average.model if average is not None else self.model
        share_buffers(model)
        scores = self.validate(model, check=self.stop.check)
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
        return trainer_state(self)

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state; the model's weights are loaded already.

        Raises:
            UserError: If the optimizer is another, or batches are counted differently.
        """
        resume_trainer(self, state)

    def _validation_due(self) -> bool:
        """Whether as many batches as asked for have gone by; never between two updates."""
        if not self.validate or self.iteration == self.validated_at:
            return False
        passed = self.iteration // self.val_every > self.validated_at // self.val_every
        return self.iteration == self.total or passed and self.updater.due(self.iteration)

    def _save(self, *names: str) -> None:
        """Save the state under these names; training goes on while they are written."""
        share_buffers(self.model)
        state = self.state()
        state = snapshot(state) if is_main() else state
        for name in names:
            self.folder.save_checkpoint(state, name)
        self.save_plan.saved(self.iteration)

    def _stop(self, signal_number: int) -> NoReturn:
        """Save, and say how to go on."""
        self._save("last.pth")
        with together():
            self.folder.wait()
        text = f"stopped after iteration {self.iteration} of {self.total}; "
        text = text + way_on(self.command, self.folder.path) if is_main() else ""
        raise Interrupted(text, signal_number)
