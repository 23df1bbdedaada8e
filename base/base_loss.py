"""The promise of every loss: outputs and target in, named scalars out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from utils.registry import Registry


def loss_options(weight: float = 1.0, output: str = "out", target: str | None = None) -> None:
    """Where a loss stands in the objective.

    Args:
        weight: Factor on every term of this loss.
        output: Name of the model's output it reads; another name than "out" gives the model a head
            of that name.
        target: Target map it reads, "semantic" or "instance", in place of the loss's own.
    """


LOSSES = Registry(
    "loss", supplied=("num_classes", "ignore_index", "class_counts"), beside=loss_options
)


class BaseLoss(nn.Module, ABC):
    """A task: how many channels it reads, what it costs to be wrong, and how its outputs are
    scored.

    A subclass sets `out_channels` and writes `terms`. The aux head is weighed here, once.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value whose pixels give no loss and no gradient.
        aux_weight: Factor on the same terms of the model's auxiliary head, where it has one.

    Attributes:
        out_channels: Channels of the output it reads.
        target: Target map it reads, unless its section names another.
        labeler: Section of the labeler that turns outputs into labels, unless the config names one.
        tells_labeler: Arguments of the loss that are the labeler's too, unless the config sets
            them there.
        predictor: Section of the predictor, likewise.
        metric: Section of the metric, likewise.
    """

    out_channels: int
    target: ClassVar[str] = "semantic"
    labeler: ClassVar[dict] = {"type": "Argmax"}
    tells_labeler: ClassVar[tuple[str, ...]] = ()
    predictor: ClassVar[dict] = {"type": "Whole"}
    metric: ClassVar[dict] = {"type": "IoU"}

    def __init__(self, num_classes: int, ignore_index: int, aux_weight: float = 0.4):
        super().__init__()
        if aux_weight < 0:
            raise ValueError(f"aux_weight is {aux_weight}; it must not be negative")
        if 0 <= ignore_index < num_classes:
            raise ValueError(
                f"ignore_index is {ignore_index}, which is a class: they are 0 to {num_classes - 1}"
            )
        self.num_classes, self.ignore_index, self.aux_weight = num_classes, ignore_index, aux_weight

    @abstractmethod
    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Cost of `prediction` (B, C, H, W) float32 against `target` (B, H, W) int64.

        Returns named scalars whose sum is the loss: 0, and finite, where every pixel is ignored.
        """

    def forward(self, outputs: dict[str, Tensor], target: Tensor) -> dict[str, Tensor]:
        """Terms of `outputs["out"]`, and weighed ones of `outputs["aux"]` under `aux_<name>`.

        Raises:
            ValueError: If an output has other channels than the loss reads, or another size than
                the target.
        """
        with torch.autocast(target.device.type, enabled=False):
            terms = self.terms(self._checked(outputs["out"], target), target)
            if "aux" in outputs and self.aux_weight:
                aux = self.terms(self._checked(outputs["aux"], target), target)
                terms |= {f"aux_{name}": self.aux_weight * term for name, term in aux.items()}
        return terms

    def _checked(self, prediction: Tensor, target: Tensor) -> Tensor:
        """The prediction in float32."""
        got = f"the prediction is {tuple(prediction.shape)}, the target {tuple(target.shape)}"
        channels = self.out_channels
        if prediction.ndim != 4 or prediction.shape[1] != channels:
            raise ValueError(
                f"{got}; {type(self).__name__} reads a prediction (B, C, H, W) of {channels} "
                f"channel{'s' * (channels != 1)}"
            )
        if target.shape != (len(prediction), *prediction.shape[2:]):
            raise ValueError(f"{got}; a target (B, H, W) of the prediction's size is needed")
        if target.dtype != torch.int64:
            raise ValueError(f"the target is {target.dtype}; int64 is needed")
        return prediction.float()
