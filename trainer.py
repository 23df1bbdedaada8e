"""What one training step is; the loop around it is in base/base_trainer.py."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from base.base_trainer import TRAINERS, BaseTrainer


@TRAINERS.register
class Trainer(BaseTrainer):
    """The model's outputs against the batch's target: any task with one network."""

    def step(self, batch: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        outputs = self.network(batch["image"])
        return self.loss(outputs, batch["target"]), outputs
