"""A trainer's state as a checkpoint, and back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from utils.distributed import gather, rank, world_size
from utils.engine.updater import misfit
from utils.seed import random_state, restore_random_state

if TYPE_CHECKING:
    from base.base_trainer import BaseTrainer

log = logging.getLogger("segforge")


def trainer_state(trainer: BaseTrainer) -> dict[str, Any]:
    """A checkpoint: tensors and plain types only. All processes take it together."""
    return {
        **trainer.identity,
        "epoch": trainer.order.epoch,
        "iteration": trainer.iteration,
        "state_dict": trainer.model.state_dict(),
        **trainer.updater.state(),
        "rng": gather(random_state()),
        "sampler": trainer.order.state(),
        "monitor_best": trainer.monitor.best,
        "early_stop": trainer.monitor.waited,
        "validated_at": trainer.validated_at,
        "report": trainer.reporter.state(),
    }


def resume_trainer(trainer: BaseTrainer, state: dict[str, Any]) -> None:
    """Go on from a checkpoint's state; the model's weights are loaded already.

    Raises:
        UserError: If the optimizer is another, or batches are counted differently.
    """
    trainer.order.load(state["sampler"])
    was, now = state["config"], trainer.identity["config"]
    if was["optimizer"]["type"] != now["optimizer"]["type"]:
        raise misfit(f"{was['optimizer']['type']} is not {now['optimizer']['type']}")
    length = ("epochs", "iterations", "accumulate")
    same_score = (was["trainer"]["monitor"], was["val_loader"]) == (
        now["trainer"]["monitor"],
        now["val_loader"],
    )
    trainer.updater.load(
        state,
        same_schedule=was["optimizer"] == now["optimizer"]
        and was["lr_scheduler"] == now["lr_scheduler"]
        and all(was["trainer"][key] == now["trainer"][key] for key in length),
        same_score=same_score,
    )
    trainer.iteration, trainer.validated_at = state["iteration"], state["validated_at"]
    if same_score:
        trainer.monitor.best, trainer.monitor.waited = state["monitor_best"], state["early_stop"]
    trainer.reporter.load(state["report"])
    resume_random_state(state["rng"])


def resume_random_state(states: list[dict[str, Any]]) -> None:
    """Put back what each process had, and say so where there are more or fewer of them now."""
    if len(states) != world_size():
        log.warning(
            "the checkpoint was written by %d process%s, this run has %d: the batches and the "
            "schedule stay as they are, random numbers drawn in the model (dropout) will be others",
            *(len(states), "es" * (len(states) > 1), world_size()),
        )
    if rank() < len(states):
        restore_random_state(states[rank()])
