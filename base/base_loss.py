"""The promise of every loss: outputs and target in, named scalars out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import ClassVar

import torch
from torch import Tensor, nn

from utils.checks import finite
from utils.errors import UserError
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
        maps: Further target maps that `terms` takes under their names.
        reads: Further outputs that `terms` takes under their names, where the model gives them.
        labeler: Section of the labeler that turns outputs into labels, unless the config names one.
        tells_labeler: Arguments of the loss that are the labeler's too, unless the config sets
            them there.
        predictor: Section of the predictor, likewise.
        metric: Section of the metric, likewise.
    """

    out_channels: int
    target: ClassVar[str] = "semantic"
    maps: tuple[str, ...] = ()
    reads: ClassVar[tuple[str, ...]] = ()
    labeler: ClassVar[dict] = {"type": "Argmax"}
    tells_labeler: ClassVar[tuple[str, ...]] = ()
    predictor: ClassVar[dict] = {"type": "Whole"}
    metric: ClassVar[dict] = {"type": "IoU"}

    def __init__(self, num_classes: int, ignore_index: int, aux_weight: float = 0.4):
        super().__init__()
        finite(aux_weight=aux_weight)
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

        A loss that names `reads` or `maps` takes them as further arguments of those names.

        Returns named scalars whose sum is the loss: 0, and finite, where every pixel is ignored.
        """

    def check_outputs(self, given: Collection[str]) -> None:  # noqa: B027 - most need no other
        """Refuse a model that lacks what the loss cannot do without.

        Args:
            given: Those of `reads` that the model gives.

        Raises:
            UserError: Saying what gives it.
        """

    def forward(
        self, outputs: dict[str, Tensor], target: Tensor, **maps: Tensor
    ) -> dict[str, Tensor]:
        """Terms of `outputs["out"]`, and weighed ones of `outputs["aux"]` under `aux_<name>`.

        `maps` are the target maps that the loss names in `maps`.

        Raises:
            ValueError: If an output has other channels than the loss reads, or another size than
                the target.
            UserError: On the CPU, if a label is no class; a GPU would have to be waited for.
        """
        aux = ("aux",) if self.aux_weight else ()
        checked = {
            name: self._checked(name, outputs[name], target)
            for name in ("out", *aux, *self.reads)
            if name in outputs
        }
        self._refuse_strays(target)
        with torch.autocast(target.device.type, enabled=False):
            beside = {name: checked[name] for name in self.reads if name in checked}
            terms = self.terms(checked["out"], target, **beside, **maps)
            if "aux" in checked:
                aux = self.terms(checked["aux"], target, **maps)
                terms |= {f"aux_{name}": self.aux_weight * term for name, term in aux.items()}
        return terms

    def _refuse_strays(self, target: Tensor) -> None:
        """Refuse labels that are no class, where the loss scores classes.

        It does with a channel for each, or one for two; with others it may read ids of objects.
        """
        one_for_two = (self.out_channels, self.num_classes) == (1, 2)
        scores_classes = self.out_channels == self.num_classes or one_for_two
        if target.device.type != "cpu" or type(self).target != "semantic" or not scores_classes:
            return
        stray = (target >= self.num_classes).logical_or_(target < 0)
        stray.logical_and_(target != self.ignore_index)
        if stray.any():
            strays = target[stray]
            raise UserError(
                f"{len(strays)} pixels of the target are none of the {self.num_classes} classes, 0 "
                f"to {self.num_classes - 1}, nor ignored ({self.ignore_index}), such as "
                f"{strays[0]}; train.py --check names the files"
            )

    def _checked(self, name: str, prediction: Tensor, target: Tensor) -> Tensor:
        """The output of that name in float32."""
        what = "the prediction" if name == "out" else f"the output {name!r}"
        got = f"{what} is {tuple(prediction.shape)}, the target {tuple(target.shape)}"
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
