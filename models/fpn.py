"""Semantic FPN: the feature pyramid with the segmentation head of Panoptic FPN.

Kirillov et al., Panoptic Feature Pyramid Networks, 2019 (arXiv:1901.02446), on Lin et al., Feature
Pyramid Networks, 2017 (arXiv:1612.03144).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from base.base_model import MODELS
from models.blocks.heads import Heads, OutChannels, resize
from models.blocks.init import initialize
from models.encoder_model import EncoderModel
from models.encoders import Backbone, OutputStride
from utils.registry import Positive


@MODELS.register
class FPN(EncoderModel):
    """A pyramid p2 ... p5, each level convolved up to stride 4, summed, and enlarged by four.

    Kernels are padded to keep a map's size. The pyramid is enlarged by nearest neighbour, the rest
    bilinearly with `align_corners=False`. The pyramid has no 3x3 of its own, as in the
    Cityscapes/KITTI project and segmentation_models.pytorch; the authors' has one a level. p5 takes
    three steps of convolution, group norm, ReLU and doubling, p4 two, p3 one, and p2 one without
    doubling.

    Args:
        pyramid_channels: Width of the pyramid.
        segmentation_channels: Width of the head.
        dropout: Share of channels dropped before the last convolution.
        align_corners: Enlarge as segmentation_models.pytorch does, corner pixels on corner pixels;
            for its weights.
    """

    def __init__(
        self,
        out_channels: OutChannels,
        backbone: Backbone = "resnet50",
        in_channels: Positive = 3,
        pretrained: bool | str = False,
        output_stride: OutputStride = 32,
        pyramid_channels: Positive = 256,
        segmentation_channels: Positive = 128,
        dropout: float = 0.2,
        align_corners: bool = False,
        freeze_bn: bool = False,
        freeze_backbone: bool = False,
    ):
        super().__init__(backbone, in_channels, pretrained, output_stride)
        if segmentation_channels % 32:
            raise ValueError(
                f"segmentation_channels is {segmentation_channels}; group norm takes a multiple of "
                "32"
            )
        self.align_corners = align_corners
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, pyramid_channels, 1) for channels in self.encoder.channels[-4:]
        )
        self.levels = nn.ModuleList(
            nn.ModuleList(
                ConvGroupNorm(before, segmentation_channels)
                for before in [pyramid_channels, *[segmentation_channels] * (steps - 1)]
            )
            for steps in (1, 1, 2, 3)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.head = Heads(segmentation_channels, out_channels)
        for part in (self.laterals, self.levels):
            initialize(part)
        self.freeze(freeze_backbone, freeze_bn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.encoder(image)[-4:]
        sizes = [feature.shape[-2:] for feature in features]

        # pyramid, deepest first: p5, p4, p3, p2
        x, pyramid = None, []
        for lateral, feature in zip(reversed(self.laterals), reversed(features), strict=True):
            level = lateral(feature)
            x = level if x is None else level + F.interpolate(x, size=level.shape[-2:])
            pyramid.append(x)

        # each level up to p2's size
        total = 0
        for depth, steps in enumerate(self.levels):
            x = pyramid[3 - depth]
            for number, step in enumerate(steps):
                finer = sizes[max(depth - number - 1, 0)]
                x = resize(step(x), finer, self.align_corners)
            total = total + x
        return self.head(self.dropout(total), image.shape[-2:], self.align_corners)


class ConvGroupNorm(nn.Sequential):
    """3x3 convolution without bias, group norm of 32 groups, ReLU."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.GroupNorm(32, out_channels),
            nn.ReLU(inplace=True),
        )
