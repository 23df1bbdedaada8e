"""The aligned Xception of DeepLabV3+.

Chen et al., Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation, 2018
(arXiv:1802.02611), Figure 4, after Chollet, Xception, 2017 (arXiv:1610.02357). The paper has a ReLU
after the batch norm of each 3x3 kernel too; as in pytorch-segmentation, there is none here.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from models.blocks.conv import ConvNormAct
from models.blocks.init import initialize
from models.encoders.encoder import Encoder
from models.encoders.weights import load_encoder, read_weights


class SeparableConvNorm(nn.Sequential):
    """A 3x3 kernel a channel, then 1x1 across channels, a batch norm after each."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__(
            nn.Conv2d(
                in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False
            ),
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )


class XceptionBlock(nn.Module):
    """Three rectified separable convolutions, the last strided, added to the input.

    Args:
        widths: Channels in, and after each of the three.
        stride: Step of the last kernel, in pixels.
    Shape:
        x (B, widths[0], H, W) -> (B, widths[-1], H / stride, W / stride), rounded up.
    """

    def __init__(self, widths: tuple[int, int, int, int], stride: int = 1):
        super().__init__()
        steps = zip(widths[:-1], widths[1:], (1, 1, stride), strict=True)
        self.branch = nn.Sequential(
            *(nn.Sequential(nn.ReLU(), SeparableConvNorm(*step)) for step in steps)
        )
        self.shortcut = nn.Identity()
        if stride > 1 or widths[0] != widths[-1]:
            self.shortcut = nn.Sequential(
                nn.Conv2d(widths[0], widths[-1], 1, stride, bias=False), nn.BatchNorm2d(widths[-1])
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.branch(x)


def xception_layers(in_channels: int) -> Iterator[tuple[str, nn.Module]]:
    """Entry, middle and exit flow; every pooling is a strided convolution."""
    yield "conv1", ConvNormAct(in_channels, 32, stride=2)
    yield "conv2", ConvNormAct(32, 64)
    yield "block1", XceptionBlock((64, 128, 128, 128), stride=2)
    yield "block2", XceptionBlock((128, 256, 256, 256), stride=2)
    yield "block3", XceptionBlock((256, 728, 728, 728), stride=2)
    for number in range(4, 20):
        yield f"block{number}", XceptionBlock((728, 728, 728, 728))
    yield "block20", XceptionBlock((728, 728, 1024, 1024), stride=2)
    yield "relu20", nn.ReLU()
    for number, (before, after) in enumerate(((1024, 1536), (1536, 1536), (1536, 2048)), start=3):
        yield f"conv{number}", nn.Sequential(SeparableConvNorm(before, after), nn.ReLU())


def xception_encoder(
    name: str, in_channels: int = 3, pretrained: bool | str = False, output_stride: int = 32
) -> Encoder:
    """The encoder; there are no published weights of torchvision's for it.

    Args:
        name: Of the encoder, "xception".
        in_channels: Channels of the image.
        pretrained: The path of a weights file of this encoder; true is refused.
        output_stride: Stride of the deepest map, in pixels: 8, 16 or 32.

    Raises:
        ValueError: If `pretrained` is true, or the output stride another number.
    """
    if pretrained is True:
        raise ValueError(
            'torchvision has no pretrained weights for xception; set "pretrained" to false, or to '
            "the path of a state dict of this encoder"
        )
    encoder = Encoder(xception_layers(in_channels), in_channels, output_stride)
    initialize(encoder)
    if pretrained:
        load_encoder(encoder, read_weights(name, pretrained), pretrained)
    return encoder
