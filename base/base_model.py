"""The promise of every model: an image in, a dict of maps of the image's size out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from utils.registry import Registry

MODELS = Registry("model", supplied=("out_channels",))


class BaseModel(nn.Module, ABC):
    """A network from an image to a dict of maps of the image's size.

    A subclass builds its parts in the constructor and wires them in `forward`. It keeps a backbone,
    if it has one, in `self.encoder`; learning-rate groups and freezing follow from that name.

    Attributes:
        stride: How much smaller than the image the deepest feature map is, in pixels. Predictors
            pad images to a multiple of it.
        in_channels: Channels of the image.
    """

    stride: int = 1
    in_channels: int = 3
    _freeze_backbone: bool = False
    _freeze_bn: bool = False

    @abstractmethod
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map `image` (B, in_channels, H, W) to `{"out": (B, C, H, W)}`.

        A model with an auxiliary head adds `"aux"` of the same shape. Built with
        `out_channels={"semantic": 2, "embedding": 8}` it returns those names in place of `"out"`.
        Any H and W from 64 up must do.
        """

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Trainable parameters as `{"encoder": [...], "decoder": [...]}`, each in exactly one list.

        `optimizer.differential_lr` gives the encoder a tenth of the learning rate.
        """
        encoder = getattr(self, "encoder", None)
        inside = {id(p) for p in encoder.parameters()} if encoder is not None else set()
        trainable = [p for p in self.parameters() if p.requires_grad]
        return {
            "encoder": [p for p in trainable if id(p) in inside],
            "decoder": [p for p in trainable if id(p) not in inside],
        }

    def freeze(self, backbone: bool = False, bn: bool = False) -> None:
        """Stop training the encoder, or every batch norm: weights and running statistics both.

        Holds through later calls of `train()`.

        Args:
            backbone: Freeze `self.encoder`.
            bn: Freeze every normalisation layer that keeps running statistics.
        """
        self._freeze_backbone, self._freeze_bn = backbone, bn
        for module in self._frozen():
            module.requires_grad_(False)
        self.train(self.training)

    def _frozen(self) -> list[nn.Module]:
        """Looked up each time: a conversion to SyncBatchNorm puts new modules in place."""
        frozen = [m for m in self.modules() if isinstance(m, _NormBase)] if self._freeze_bn else []
        encoder = getattr(self, "encoder", None)
        return [*frozen, encoder] if self._freeze_backbone and encoder is not None else frozen

    def train(self, mode: bool = True) -> BaseModel:
        super().train(mode)
        for module in self._frozen():
            module.eval()
        return self
