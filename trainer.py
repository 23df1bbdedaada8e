"""What one training step is; the loop around it is in base/base_trainer.py."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from base.base_trainer import TRAINERS, BaseTrainer
from utils.errors import UserError


@TRAINERS.register
class Trainer(BaseTrainer):
    """The model's outputs against the batch's target: any task with one network."""

    def step(self, batch: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        if hasattr(self.model, "update_teacher"):
            raise UserError(
                f"Trainer would never move the teacher of {type(self.model).__name__}; set "
                'trainer.type to "MeanTeacherTrainer", and add {"type": "SecondView"} to '
                '"transforms"'
            )
        outputs = self.network(batch["image"])
        return self.loss(outputs, batch["target"]), outputs


@TRAINERS.register
class MeanTeacherTrainer(BaseTrainer):
    """Two views of a batch, one for the model and one for its teacher, which follows each update.

    For `MeanTeacher` models; the transform `SecondView` makes the views.
    """

    def step(self, batch: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        if "image2" not in batch:
            raise UserError(
                "MeanTeacherTrainer compares two views of an image, and the batch has one; add "
                '{"type": "SecondView"} to "transforms", before those that change colours'
            )
        if not hasattr(self.model, "update_teacher"):
            raise UserError(
                f"MeanTeacherTrainer needs a teacher, which {type(self.model).__name__} has not; "
                'put it into {"type": "MeanTeacher", "args": {"model": ...}}'
            )
        outputs = self.network(batch["image"], batch["image2"])
        return self.loss(outputs, batch["target"]), outputs

    def after_update(self) -> None:
        self.model.update_teacher()
