"""U-Net on a backbone.

Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, 2015
(arXiv:1505.04597).
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from base.base_model import MODELS, BaseModel
from models.blocks.fusion import UpFuse
from models.blocks.heads import Heads
from models.blocks.init import initialize
from models.encoders import Backbone, make_encoder


@MODELS.register
class UNet(BaseModel):
    """An encoder's maps fused from the deepest to the finest by skip connections.

    Differs from the paper in the encoder, a ResNet by default, and in `same` padding: the output
    has the image's size. Each step up is nearest-neighbour, which resizes to the skip exactly, so
    any size goes.

    Args:
        out_channels: Channels of the output, or of each named output.
        backbone: Name of the encoder, such as "resnet18" or "resnext50_32x4d".
        in_channels: Channels of the image.
        pretrained: True for ImageNet weights in the encoder, or the path of a weights file.
        output_stride: Stride of the deepest features in pixels: 8, 16 or 32.
        decoder_channels: Width after each step up, deepest first; five end at the image's size,
            four at half of it (then the scores are enlarged: less memory and time, coarser
            borders).
        freeze_bn: Keep every batch norm as it is (small batches, pretrained weights).
        freeze_backbone: Train the decoder alone.
    Shape:
        image (B, in_channels, H, W) -> {"out": (B, out_channels, H, W)}.
    Raises:
        ValueError: If the backbone is unknown, or decoder_channels has not four or five widths.
    """

    def __init__(
        self,
        out_channels: int | dict[str, int],
        backbone: Backbone = "resnet34",
        in_channels: int = 3,
        pretrained: bool | str = False,
        output_stride: Literal[8, 16, 32] = 32,
        decoder_channels: list[int] = (256, 128, 64, 32, 16),
        freeze_bn: bool = False,
        freeze_backbone: bool = False,
    ):
        super().__init__()
        if len(decoder_channels) not in (4, 5):
            raise ValueError(
                f"decoder_channels has {len(decoder_channels)} widths; four end at half "
                "the image's size, five at its size"
            )
        if min(decoder_channels) < 1:
            raise ValueError(
                f"decoder_channels holds {min(decoder_channels)}; widths are above zero"
            )
        self.encoder = make_encoder(backbone, in_channels, pretrained, output_stride)
        self.in_channels, self.stride = in_channels, self.encoder.strides[-1]
        *skips, deepest = self.encoder.channels
        ins = [deepest, *decoder_channels]
        skips = [*reversed(skips), 0]
        self.decoder = nn.ModuleList(
            UpFuse(before, skip, width)
            for before, skip, width in zip(ins, skips, decoder_channels, strict=False)
        )
        self.head = Heads(decoder_channels[-1], out_channels, kernel_size=3)
        initialize(self.decoder)
        self.freeze(freeze_backbone, freeze_bn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        size = image.shape[-2:]
        *skips, x = self.encoder(image)
        skips = [*reversed(skips), None]
        for step, skip in zip(self.decoder, skips, strict=False):
            x = step(x, skip, size if skip is None else skip.shape[-2:])
        return self.head(x, size)
