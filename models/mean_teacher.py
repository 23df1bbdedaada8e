"""A network and the moving average of its weights, side by side.

Tarvainen and Valpola, Mean teachers are better role models, 2017 (arXiv:1703.01780); for embeddings
as SPOCO uses it, Wolny et al., 2022 (arXiv:2103.14572).
"""

from __future__ import annotations

import copy
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from base.base_model import MODELS, BaseModel
from models.blocks.heads import OutChannels
from utils.outputs import beside


@MODELS.register
class MeanTeacher(BaseModel):
    """Any model, the student, and its moving average, the teacher, which no gradient reaches.

    The teacher starts as a copy. `update_teacher` moves it; `MeanTeacherTrainer` calls that after
    each update of the weights, and nothing else ever does. In training both use the statistics of
    their own batch; for prediction the teacher has the student's running ones: of several processes
    the main one's, which the others are given before each step, validation and checkpoint.

    Args:
        out_channels: Channels of the output, or of each named output.
        model: Section of the model, of any architecture; without one SPOCO's, UNet2D.
        momentum: Share of the teacher's weights that an update keeps, 0 to just below 1.
    Shape:
        image (B, in_channels, H, W) -> {"out": (B, out_channels, H, W), "teacher": the same}; where
        outputs are named, "teacher_<name>" beside each. "aux" is the student's.
    Raises:
        ValueError: If momentum is out of range.
    """

    def __init__(
        self,
        out_channels: OutChannels,
        model: Annotated[dict, "model"] | None = None,
        momentum: float = 0.999,
    ):
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}; it goes from 0 to just below 1")
        self.student = MODELS.build(model or "UNet2D", out_channels=out_channels)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.average = get_ema_multi_avg_fn(momentum)
        self.stride, self.in_channels = self.student.stride, self.student.in_channels

    @property
    def encoder(self) -> nn.Module:
        """The student's, where it has one."""
        return self.student.encoder

    def forward(self, image: Tensor, second_view: Tensor | None = None) -> dict[str, Tensor]:
        """The student's outputs of `image`, and the teacher's of the second view (the same shape).

        Without a second view the teacher is given the image itself.
        """
        outputs = self.student(image)
        with torch.no_grad():
            seen = self.teacher(image if second_view is None else second_view)
        return outputs | {beside("teacher", name): seen[name] for name in seen if name != "aux"}

    @torch.no_grad()
    def update_teacher(self) -> None:
        """teacher <- momentum * teacher + (1 - momentum) * student; buffers are copied."""
        self.average(list(self.teacher.parameters()), list(self.student.parameters()), None)
        for own, new in zip(self.teacher.buffers(), self.student.buffers(), strict=True):
            own.copy_(new)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return self.student.parameter_groups()

    def freeze(self, backbone: bool = False, bn: bool = False) -> None:
        self.student.freeze(backbone, bn)
        self.teacher.freeze(backbone, bn)
