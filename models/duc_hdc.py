"""DUC-HDC: a ResNet of hybrid dilation, and upsampling by learned sub-pixels.

Wang et al., Understanding Convolution for Semantic Segmentation, 2018 (arXiv:1702.08502).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from base.base_model import MODELS
from models.blocks.context import ASPP
from models.blocks.conv import ConvNormAct
from models.blocks.heads import OutChannels, by_name, cut, split
from models.blocks.init import initialize
from models.encoder_model import EncoderModel
from models.encoders.encoder import Encoder
from models.encoders.torchvision_nets import ALIASES, RESNETS, ResNet
from utils.registry import Positive

# the paper's patterns: dilations of layer3's blocks, repeated; of those left over; of layer4's
RF = [1, 2, 3], [2, 2], [3, 4, 5]
BIGGER = [1, 2, 5, 9], [1, 2, 5], [5, 9, 17]


@MODELS.register
class DUCHDC(EncoderModel):
    """A ResNet whose dilations leave no holes, ASPP, a decoder, dense upsampling to every pixel.

    The paper's dilations, here for ResNets of any depth, and its upsampling of the scores. Differs
    from the paper in what lies between: ASPP has six branches and image pooling, and upsampling
    takes two steps, joined with c2 half way as in DeepLabV3+ (Chen et al., 2018,
    arXiv:1802.02611). Where a step overshoots c2 or the image, whose sides are not multiples of
    the stride, it is cut on the right and below: every pixel stays in its place. Kernels are
    padded to keep a map's size, and nothing is enlarged bilinearly.

    Args:
        backbone: Name of a ResNet, ResNeXt or Wide ResNet.
        output_stride: Stride of the deepest features in pixels: 8, or 4, where the first
            convolution keeps the image's size and all later maps have four times the pixels.
        bigger: The paper's "Dilation-bigger": 1, 2, 5, 9 in layer3 and 5, 9, 17 in layer4, in
            place of 1, 2, 3 and 3, 4, 5.
    Raises:
        ValueError: If the backbone is no ResNet, or the output stride neither 4 nor 8.
    """

    def __init__(
        self,
        out_channels: OutChannels,
        backbone: ResNet = "resnet101",
        in_channels: Positive = 3,
        pretrained: bool | str = False,
        output_stride: Literal[4, 8] = 8,
        bigger: bool = False,
        freeze_bn: bool = False,
        freeze_backbone: bool = False,
    ):
        if ALIASES.get(backbone, backbone) not in RESNETS:
            raise ValueError(
                f"DUCHDC is built on a ResNet, not on {backbone!r}; there are {', '.join(RESNETS)}"
            )
        if output_stride not in (4, 8):
            raise ValueError(f"DUCHDC has output stride 4 or 8, not {output_stride}")
        super().__init__(backbone, in_channels, pretrained, output_stride=8)
        dilate_hybrid(self.encoder, *(BIGGER if bigger else RF))
        if output_stride == 4:
            self.encoder.stages[0].conv1.stride = (1, 1)
            self.encoder.strides = [stride // 2 for stride in self.encoder.strides]
            self.stride = output_stride
        c2, _, _, c5 = self.encoder.channels[-4:]
        self.out_channels = out_channels
        self.aspp = ASPP(c5, [6, 12, 18, 24, 36])
        self.reduce = ConvNormAct(c2, 48, kernel_size=1)
        self.fuse = nn.Sequential(
            ConvNormAct(256 + 48, 256), ConvNormAct(256, 256), nn.Dropout(0.1)
        )
        for part in (self.aspp, self.reduce, self.fuse):
            initialize(part)
        self.enlarge = DUC(256, 256, scale=2)
        width, scale = sum(by_name(out_channels).values()), self.encoder.strides[-4]
        self.score = DUC(256, width, scale, norm_act=False)
        self.freeze(freeze_backbone, freeze_bn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        c2, _, _, c5 = self.encoder(image)[-4:]
        x = cut(self.enlarge(self.aspp(c5)), c2)
        x = self.fuse(torch.cat([x, self.reduce(c2)], dim=1))
        return split(cut(self.score(x), image), self.out_channels)


class DUC(nn.Sequential):
    """Dense upsampling convolution: 1x1 to scale^2 values a channel, which become its pixels.

    The values of a channel start with the same weights, so that upsampling starts as
    nearest-neighbour (ICNR; Aitken et al., Checkerboard artifact free sub-pixel convolution, 2017,
    arXiv:1707.02937).

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        scale: How many times higher and wider the map becomes.
        norm_act: A batch norm and a ReLU after the convolution; scores have neither, to be of
            either sign.
    Shape:
        x (B, in_channels, h, w) -> (B, out_channels, scale * h, scale * w).
    """

    def __init__(self, in_channels: int, out_channels: int, scale: int, norm_act: bool = True):
        values = scale**2
        width = out_channels * values
        conv = ConvNormAct(in_channels, width, 1) if norm_act else nn.Conv2d(in_channels, width, 1)
        super().__init__(conv, nn.PixelShuffle(scale))
        initialize(self)
        weight = next(self.parameters())
        with torch.no_grad():
            weight.copy_(weight[::values].repeat_interleave(values, dim=0))


def dilate_hybrid(encoder: Encoder, pattern: list[int], rest: list[int], last: list[int]) -> None:
    """Dilate the 3x3 kernels of a ResNet's layer3 and layer4, in place.

    Args:
        encoder: A ResNet of output stride 8.
        pattern: Dilation of each block of layer3 in turn, repeated as often as it fits.
        rest: Dilations of the blocks of layer3 that are left over.
        last: Dilations of layer4's blocks; the first ones where it has fewer.
    """
    layer3, layer4 = encoder.stages[-2].layer3, encoder.stages[-1].layer4
    times, left = divmod(len(layer3), len(pattern))
    dilations = pattern * times + rest[:left] + last[: len(layer4)]
    for block, dilation in zip([*layer3, *layer4], dilations, strict=True):
        for conv in block.modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                conv.dilation = conv.padding = (dilation, dilation)


MODELS.alias("DeepLab_DUC_HDC", "DUCHDC")
