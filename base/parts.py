"""What a trainer is given: every part of a run, built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from base.base_dataloader import BaseDataLoader
from base.base_model import BaseModel
from utils.engine.reporter import Reporter
from utils.schedulers import Schedule


@dataclass
class Parts:
    """What a trainer works with.

    Attributes:
        model, loss, optimizer, scheduler: As built; the scheduler steps with the optimizer.
        train_loader: Gives batches.
        validate: Called as validate(model, check=...), gives scores by name; None for no
            validation. `check` may raise to stop it.
        score_names: Names validate gives.
        reporter: Is told of every batch and validation.
        devices: The first leads.
        identity: What a checkpoint says of itself beside the state: arch, config, classes, ...
    """

    model: BaseModel
    loss: nn.Module
    optimizer: Optimizer
    scheduler: Schedule | None
    train_loader: BaseDataLoader
    validate: Callable[..., dict[str, float]] | None
    score_names: list[str]
    reporter: Reporter
    devices: list[torch.device]
    identity: dict[str, Any]
