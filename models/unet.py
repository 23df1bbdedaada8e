"""U-Net: the paper's, and on any backbone.

Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015
(arXiv:1505.04597).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from base.base_model import MODELS
from models.blocks.conv import DoubleConv
from models.blocks.heads import Heads, OutChannels
from models.blocks.init import initialize
from models.blocks.unet_decoders import ClassicDecoder, NarrowDecoder, WideDecoder
from models.encoder_model import EncoderModel
from models.encoders import Backbone, OutputStride
from utils.registry import Positive


@MODELS.register
class UNet(EncoderModel):
    """Features from fine to deep, joined again from deep to fine by skip connections.

    Without a backbone it is pytorch-segmentation's network from scratch, 64 to 1024 wide: the
    paper's with `same` padding, batch norm and half the width between two convolutions. With one,
    the encoder's features are joined by nearest enlarging and two convolutions, or by the wide
    decoder of the Cityscapes/KITTI project. The output has the image's size, and any size goes: a
    map that enlarging leaves a pixel off is resized, bilinearly with `align_corners=False` by the
    classic decoder, to the nearest by the wide one.

    Args:
        backbone: Name of the encoder, such as "resnet18"; null for the paper's own.
        decoder_channels: Width after each step up, deepest first. With a backbone five end at the
            image's size, four at half of it (then the scores are enlarged: less memory and time,
            coarser borders); by default 256, 128, 64, 32, 16. Without one four, by default 512,
            256, 128, 64.
        wide_decoder: Transposed convolutions of 512 to 32 channels and a centre below c5; for
            backbones at output stride 32.
        residual_blocks: A residual block in each step of the wide decoder.
        dropout: Share of channels dropped before the last convolution.
    Raises:
        ValueError: If the backbone is unknown, or arguments exclude each other.
    """

    def __init__(
        self,
        out_channels: OutChannels,
        backbone: Backbone | None = None,
        in_channels: Positive = 3,
        pretrained: bool | str = False,
        output_stride: OutputStride = 32,
        decoder_channels: list[Positive] | None = None,
        wide_decoder: bool = False,
        residual_blocks: bool = False,
        dropout: float = 0.0,
        freeze_bn: bool = False,
        freeze_backbone: bool = False,
    ):
        super().__init__(backbone, in_channels, pretrained, output_stride)
        if decoder_channels and min(decoder_channels) < 1:
            raise ValueError(
                f"decoder_channels holds {min(decoder_channels)}; widths are above zero"
            )
        self.contracting = None
        if backbone is None:
            refuse_for_classic(
                pretrained=pretrained,
                output_stride=output_stride != 32,
                wide_decoder=wide_decoder,
                residual_blocks=residual_blocks,
                freeze_backbone=freeze_backbone,
            )
            self.contracting = ContractingPath(in_channels)
            self.stride = 16
            self.decoder = ClassicDecoder(self.contracting.channels, decoder_channels)
        elif wide_decoder:
            if output_stride != 32 or decoder_channels is not None:
                raise ValueError(
                    "wide_decoder has its own widths and output stride 32; leave decoder_channels "
                    "and output_stride out"
                )
            self.decoder = WideDecoder(self.encoder.channels, residual_blocks)
        else:
            self.decoder = NarrowDecoder(self.encoder.channels, decoder_channels)
        if residual_blocks and not wide_decoder:
            raise ValueError("residual_blocks stand in the wide decoder; set wide_decoder to true")
        self.dropout = nn.Dropout2d(dropout)
        self.head = Heads(self.decoder.out_channels, out_channels, self.decoder.head_kernel)
        initialize(self.decoder)
        self.freeze(freeze_backbone, freeze_bn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        size = image.shape[-2:]
        features = (self.contracting or self.encoder)(image)
        return self.head(self.dropout(self.decoder(features, size)), size)


class ContractingPath(nn.Module):
    """The paper's left half: five levels of two 3x3 convolutions, max pooling between them.

    Pooling rounds sizes up, so that no row or column is lost. The deepest level has a second pair.

    Args:
        in_channels: Channels of the image.
        channels: Width of each level, finest first.
    Shape:
        image (B, in_channels, H, W) -> features (B, channels[i], H / 2^i, W / 2^i), rounded up.
    """

    def __init__(self, in_channels: int, channels: tuple[int, ...] = (64, 128, 256, 512, 1024)):
        super().__init__()
        self.channels = list(channels)
        ins = [in_channels, *channels[:-1]]
        self.levels = nn.ModuleList(
            DoubleConv(before, width, inner=width // 2)
            for before, width in zip([*ins, channels[-1]], [*channels, channels[-1]], strict=True)
        )
        initialize(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        *levels, middle = self.levels
        x = levels[0](image)
        features = [x]
        for level in levels[1:]:
            x = level(F.max_pool2d(x, 2, ceil_mode=True))
            features.append(x)
        features[-1] = middle(x)
        return features


def refuse_for_classic(**asked: bool | str) -> None:
    """Raise a ValueError that names what makes no sense without a backbone."""
    for name, wanted in asked.items():
        if wanted:
            raise ValueError(f'{name} needs an encoder; name one, such as "backbone": "resnet34"')


MODELS.alias("UNetResnet", "UNet", backbone="resnet50", output_stride=8)
