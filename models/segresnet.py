"""SegResNet: SegNet's idea on a ResNet, as pytorch-segmentation has it.

Badrinarayanan et al., SegNet, 2017 (arXiv:1511.00561); He et al., Deep Residual Learning for Image
Recognition, 2016 (arXiv:1512.03385).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from base.base_model import MODELS
from models.blocks.conv import ConvNormAct
from models.blocks.heads import Heads, OutChannels, cut
from models.blocks.init import initialize
from models.encoder_model import EncoderModel
from models.encoders import make_encoder
from models.encoders.torchvision_nets import ALIASES, RESNETS, ResNet
from utils.registry import Positive


@MODELS.register
class SegResNet(EncoderModel):
    """A ResNet and its mirror: learned enlarging from c5 to c2, max unpooling from c2 to c1.

    Each layer's blocks return in the decoder, but its first, which is mirrored by a bottleneck with
    a 2x2 transposed convolution. Where enlarging overshoots a finer feature, whose sides are odd,
    it is cut on the right and below: every pixel stays in its place, and any size goes. Kernels are
    padded to keep a map's size, and nothing is enlarged bilinearly.

    Differs from pytorch-segmentation in two ways. Its 3x3 pool's windows overlap, so two values may
    be sent to one place, one of which is lost; here they go where each 2x2 cell of c1 is largest.
    And a 3x3 convolution fills in after unpooling, as SegNet's do: a 2x2 transposed convolution
    alone leaves holes.

    Args:
        backbone: Name of a ResNet, ResNeXt or Wide ResNet.
    Raises:
        ValueError: If the backbone is no ResNet.
    """

    def __init__(
        self,
        out_channels: OutChannels,
        backbone: ResNet = "resnet50",
        in_channels: Positive = 3,
        pretrained: bool | str = False,
        freeze_bn: bool = False,
        freeze_backbone: bool = False,
    ):
        if ALIASES.get(backbone, backbone) not in RESNETS:
            raise ValueError(
                f"SegResNet mirrors a ResNet: backbone is one of {', '.join(RESNETS)}, "
                f"not {backbone!r}"
            )
        super().__init__(backbone, in_channels, pretrained)
        widths, twin = self.encoder.channels, make_encoder(backbone)  # the twin lends its blocks
        self.decoder = nn.ModuleList(
            nn.Sequential(
                *twin.stages[level][-1][1:], BackBlock(widths[level], widths[level - 1], level > 1)
            )
            for level in (4, 3, 2, 1)
        )
        stem = widths[0]
        self.fill = ConvNormAct(stem, stem)
        self.enlarge = nn.Sequential(
            nn.ConvTranspose2d(stem, stem, 2, stride=2, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
        )
        self.head = Heads(stem, out_channels, kernel_size=3)
        for part in (self.decoder, self.fill, self.enlarge):
            initialize(part)
        self.freeze(freeze_backbone, freeze_bn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        c1, c2, c3, c4, x = self.encoder(image)
        for blocks, like in zip(self.decoder, (c4, c3, c2, c2), strict=True):
            x = cut(blocks(x), like)
        x = self.fill(unpool(x, c1))
        x = cut(self.enlarge(x), image)
        return self.head(x, image.shape[-2:])


class BackBlock(nn.Module):
    """A bottleneck from one layer's channels to those of the layer before it.

    Args:
        in_channels: Channels in; a quarter of them in between.
        out_channels: Channels out.
        enlarge: Double the size, by 2x2 transposed convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, enlarge: bool):
        super().__init__()
        inner = in_channels // 4
        if enlarge:
            kernel = nn.ConvTranspose2d(inner, inner, 2, stride=2, bias=False)
            shortcut = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2, bias=False)
        else:
            kernel = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
            shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.branch = nn.Sequential(
            ConvNormAct(in_channels, inner, 1),
            kernel,
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + self.shortcut(x))


def unpool(x: Tensor, fine: Tensor) -> Tensor:
    """Put each value of x where its 2x2 cell of `fine` is largest, zeros around it.

    Shape:
        x (B, C, ceil(H / 2), ceil(W / 2)), fine (B, C, H, W) -> (B, C, H, W).
    """
    _, places = F.max_pool2d(fine, 2, ceil_mode=True, return_indices=True)
    return F.max_unpool2d(x, places, 2, output_size=fine.shape[-2:])
