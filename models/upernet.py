"""UPerNet: pyramid pooling on top of a feature pyramid, all levels fused.

Xiao et al., Unified Perceptual Parsing for Scene Understanding, 2018 (arXiv:1807.10221); its object
branch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from base.base_model import MODELS
from models.blocks.context import PyramidPooling
from models.blocks.conv import ConvNormAct
from models.blocks.heads import AuxHead, Heads, OutChannels, resize
from models.blocks.init import initialize
from models.encoder_model import EncoderModel
from models.encoders import Backbone, OutputStride
from utils.registry import Positive


@MODELS.register
class UPerNet(EncoderModel):
    """Pyramid pooling makes p5; p4 to p2 follow top down; all four at p2's size, fused by a 3x3.

    Kernels are padded to keep a map's size, and enlarging is bilinear with `align_corners=False`;
    pytorch-segmentation's port aligns corners. The auxiliary head, on c4 as mmsegmentation has it,
    speaks in training only.

    Args:
        pyramid_channels: Width of the pyramid and of the fused map.
        pyramid_bins: Cells along each side of each grid pooled from c5.
        use_aux: Add the auxiliary head on c4; the loss weighs it by 0.4. With several named outputs
            there is none.
        dropout: Share of channels dropped before the last convolution.
    """

    def __init__(
        self,
        out_channels: OutChannels,
        backbone: Backbone = "resnet50",
        in_channels: Positive = 3,
        pretrained: bool | str = False,
        output_stride: OutputStride = 32,
        pyramid_channels: Positive = 256,
        pyramid_bins: list[Positive] = (1, 2, 3, 6),
        use_aux: bool = False,
        dropout: float = 0.1,
        freeze_bn: bool = False,
        freeze_backbone: bool = False,
    ):
        super().__init__(backbone, in_channels, pretrained, output_stride)
        *finer, c5 = self.encoder.channels[-4:]
        self.pyramid = PyramidPooling(c5, pyramid_channels, pyramid_bins)
        self.laterals = nn.ModuleList(ConvNormAct(width, pyramid_channels, 1) for width in finer)
        self.smooth = nn.ModuleList(ConvNormAct(pyramid_channels, pyramid_channels) for _ in finer)
        self.fuse = ConvNormAct(4 * pyramid_channels, pyramid_channels)
        self.dropout = nn.Dropout2d(dropout)
        self.head = Heads(pyramid_channels, out_channels)
        self.aux = AuxHead(finer[-1], out_channels, use_aux)
        for part in (self.pyramid, self.laterals, self.smooth, self.fuse):
            initialize(part)
        self.freeze(freeze_backbone, freeze_bn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        size = image.shape[-2:]
        c2, c3, c4, c5 = self.encoder(image)[-4:]
        lateral2, lateral3, lateral4 = self.laterals
        p5 = self.pyramid(c5)
        p4 = add_enlarged(lateral4(c4), p5)
        p3 = add_enlarged(lateral3(c3), p4)
        p2 = add_enlarged(lateral2(c2), p3)
        smoothed = [smooth(p) for smooth, p in zip(self.smooth, (p2, p3, p4), strict=True)]
        levels = [resize(p, p2.shape[-2:]) for p in (*smoothed, p5)]
        x = self.fuse(torch.cat(levels, dim=1))
        return self.head(self.dropout(x), size) | self.aux(c4, size)


def add_enlarged(fine: Tensor, deep: Tensor) -> Tensor:
    """The fine map plus the deep one, enlarged to its size."""
    return fine + resize(deep, fine.shape[-2:])


MODELS.alias(
    "UperNet", "UPerNet", backbone="resnet101", output_stride=16, pyramid_bins=[1, 2, 4, 6]
)
