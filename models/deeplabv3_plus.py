"""DeepLabV3+: dilated features, a pyramid of rates, and one fine map to sharpen the borders.

Chen et al., Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation, 2018
(arXiv:1802.02611).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from base.base_model import MODELS
from models.blocks.context import ASPP
from models.blocks.conv import ConvNormAct, SeparableConvNormAct
from models.blocks.heads import Heads, OutChannels, resize
from models.blocks.init import initialize
from models.encoder_model import EncoderModel
from models.encoders import Backbone, OutputStride
from utils.registry import Positive


@MODELS.register
class DeepLabV3Plus(EncoderModel):
    """ASPP on c5, enlarged to c2, joined with 48 channels of it, 3x3 convolutions.

    As the paper: rates 6, 12, 18 at output stride 16, twice that at 8; half at 32 is ours. Where it
    enlarges it does so bilinearly with `align_corners=False`; the authors' code aligns corners, as
    does pytorch-segmentation's port. Kernels are padded to keep a map's size. No norm stands
    between the two halves of a separable convolution (the authors' code has one).

    Args:
        atrous_rates: Dilations of the pyramid in pixels of c5; null for the paper's.
        separable: Depthwise separable 3x3 kernels in pyramid and decoder.
        decoder_channels: Width of pyramid and decoder.
        decoder_convs: 3x3 convolutions after joining; two in the paper, one is faster.
        dropout: Share of values dropped after the pyramid; then of channels in the decoder between
            convolutions and after the last.
    Raises:
        ValueError: If the backbone is unknown or has no such output stride, or atrous_rates is
            empty.
    """

    def __init__(
        self,
        out_channels: OutChannels,
        backbone: Backbone = "resnet50",
        in_channels: Positive = 3,
        pretrained: bool | str = False,
        output_stride: OutputStride = 16,
        atrous_rates: list[Positive] | None = None,
        separable: bool = True,
        decoder_channels: Positive = 256,
        decoder_convs: Positive = 2,
        dropout: tuple[float, float, float] = (0.5, 0.0, 0.0),
        freeze_bn: bool = False,
        freeze_backbone: bool = False,
    ):
        super().__init__(backbone, in_channels, pretrained, output_stride)
        rates = atrous_rates
        if rates is None:
            rates = [rate * 16 // output_stride for rate in (6, 12, 18)]
        if not rates:
            raise ValueError(
                "atrous_rates is empty; give a dilation or more, or null for the paper's"
            )
        after_pyramid, between, last = dropout
        channels = self.encoder.channels
        kernel = SeparableConvNormAct if separable else ConvNormAct
        self.aspp = ASPP(channels[-1], rates, decoder_channels, separable, after_pyramid)
        self.low_level = ConvNormAct(channels[-4], 48, 1)
        widths = [decoder_channels + 48] + [decoder_channels] * decoder_convs
        shares = [between] * (decoder_convs - 1) + [last]
        self.decoder = nn.Sequential()
        for before, after, share in zip(widths[:-1], widths[1:], shares, strict=True):
            self.decoder.extend([kernel(before, after), nn.Dropout2d(share)])
        self.head = Heads(decoder_channels, out_channels)
        for part in (self.aspp, self.low_level, self.decoder):
            initialize(part)
        self.freeze(freeze_backbone, freeze_bn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.encoder(image)
        c2, c5 = features[-4], features[-1]
        low = self.low_level(c2)
        deep = resize(self.aspp(c5), low.shape[-2:])
        return self.head(self.decoder(torch.cat([low, deep], dim=1)), image.shape[-2:])


MODELS.alias(
    "DeepLab", "DeepLabV3Plus", backbone="xception", separable=False, dropout=[0.5, 0.0, 0.1]
)
