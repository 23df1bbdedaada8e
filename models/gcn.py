"""GCN: large separable kernels from every level of a backbone straight to the scores.

Peng et al., Large Kernel Matters -- Improve Semantic Segmentation by Global Convolutional Network,
2017 (arXiv:1703.02719).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from base.base_model import MODELS
from models.blocks.heads import OutChannels, by_name, resize, split
from models.blocks.init import initialize
from models.encoder_model import EncoderModel
from models.encoders import Backbone, OutputStride
from models.encoders.encoder import Encoder
from utils.registry import Positive

RESNET_GCN = ("resnet50", "resnet101", "resnet152")


@MODELS.register
class GCN(EncoderModel):
    """Global convolutions score c2 ... c5; the scores are added from the deepest to the finest.

    As the paper's Figure 2: the scores of a level, the sums, and both enlargings after the last sum
    are each refined at the borders. Differs from the paper in enlarging bilinearly
    (`align_corners=False`) by default, and in how it starts: the blocks add no spread of their own,
    so that the first scores have the size of the features. Every kernel, the large ones too, is
    padded to keep a map's size.

    Args:
        kernel_size: Side of the global convolutions in pixels of each level, odd.
        deconv: Enlarge by transposed convolutions that are learned, bilinear at first.
        resnet_gcn: Put global convolutions into the backbone too, in layers 3 and 4 (the paper's
            Section 4.3.2); they start random, whatever `pretrained` is. For resnet50, resnet101
            and resnet152.
    Raises:
        ValueError: If the backbone is unknown, has no such output stride or no ResNet-GCN variant,
            resnet_gcn is to be frozen, or kernel_size is not odd.
    """

    def __init__(
        self,
        out_channels: OutChannels,
        backbone: Backbone = "resnet50",
        in_channels: Positive = 3,
        pretrained: bool | str = False,
        output_stride: OutputStride = 32,
        kernel_size: int = 11,
        deconv: bool = False,
        resnet_gcn: bool = False,
        freeze_bn: bool = False,
        freeze_backbone: bool = False,
    ):
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; a global convolution's side is odd")
        if resnet_gcn and backbone not in RESNET_GCN:
            raise ValueError(f"resnet_gcn is for {', '.join(RESNET_GCN)}, not {backbone!r}")
        if resnet_gcn and freeze_backbone:
            raise ValueError(
                "freeze_backbone would keep the random kernels that resnet_gcn puts into the "
                "backbone; leave one of the two out"
            )
        super().__init__(backbone, in_channels, pretrained, output_stride)
        if resnet_gcn:
            enlarge_kernels(self.encoder)
        self.out_channels = out_channels
        width = sum(by_name(out_channels).values())
        self.scores = nn.ModuleList(
            nn.Sequential(GlobalConv(channels, width, kernel_size), BoundaryRefinement(width))
            for channels in self.encoder.channels[-4:]
        )
        strides = [*reversed(self.encoder.strides[-4:]), 2, 1]
        self.enlarge = nn.ModuleList(
            bilinear_deconv(width) if deconv and coarse > fine else nn.Identity()
            for coarse, fine in zip(strides[:-1], strides[1:], strict=True)
        )
        self.refine = nn.ModuleList(BoundaryRefinement(width) for _ in self.enlarge)
        self.freeze(freeze_backbone, freeze_bn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        height, width = image.shape[-2:]
        features = self.encoder(image)[-4:]
        *finer, x = (score(c) for score, c in zip(self.scores, features, strict=True))
        sizes = [c.shape[-2:] for c in reversed(finer)]
        sizes += [((height + 1) // 2, (width + 1) // 2), (height, width)]
        finer = [*reversed(finer), 0, 0]  # nothing is added after c2
        for enlarge, refine, size, score in zip(
            self.enlarge, self.refine, sizes, finer, strict=True
        ):
            x = refine(resize(enlarge(x), size) + score)
        return split(x, self.out_channels)


class GlobalConv(nn.Module):
    """A large kernel as two pairs of lines, k x 1 then 1 x k beside 1 x k then k x 1, added.

    Args:
        in_channels: Channels in.
        out_channels: Channels out, and between the two lines of a pair.
        kernel_size: Length k of a line, odd.
        stride: Step of each line along itself, in pixels.
        dilation: Distance between taps, in pixels.
        norm_act: A batch norm and a ReLU after every line, as within a backbone; a scoring block
            has neither.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        norm_act: bool = False,
    ):
        super().__init__()

        def line(channels: int, size: tuple[int, int]) -> nn.Sequential:
            step = tuple(stride if side > 1 else 1 for side in size)
            padding = tuple(dilation * (side // 2) for side in size)
            conv = nn.Conv2d(
                channels, out_channels, size, step, padding, dilation, bias=not norm_act
            )
            nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
            if norm_act:
                return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))
            nn.init.zeros_(conv.bias)
            return nn.Sequential(conv)

        column, row = (kernel_size, 1), (1, kernel_size)
        self.column_row = nn.Sequential(line(in_channels, column), line(out_channels, row))
        self.row_column = nn.Sequential(line(in_channels, row), line(out_channels, column))

    def forward(self, x: Tensor) -> Tensor:
        return self.column_row(x) + self.row_column(x)


class BoundaryRefinement(nn.Module):
    """3x3, ReLU, 3x3, added to the input; close to the identity at first."""

    def __init__(self, channels: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        initialize(self)
        nn.init.normal_(self.branch[-1].weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def bilinear_deconv(channels: int) -> nn.ConvTranspose2d:
    """A transposed convolution that doubles the size, each channel bilinearly before it learns."""
    deconv = nn.ConvTranspose2d(
        channels, channels, 3, stride=2, padding=1, output_padding=1, bias=False
    )
    tent = torch.tensor([0.5, 1.0, 0.5])
    with torch.no_grad():
        deconv.weight.copy_(torch.eye(channels)[..., None, None] * torch.outer(tent, tent))
    return deconv


class GlobalBottleneck(nn.Module):
    """ResNet-GCN's block: a global convolution for the first two layers of a bottleneck."""

    def __init__(self, bottleneck: nn.Module, width: int, kernel_size: int):
        super().__init__()
        kernel, last = bottleneck.conv2, bottleneck.conv3
        self.branch = nn.Sequential(
            GlobalConv(
                bottleneck.conv1.in_channels,
                width,
                kernel_size,
                kernel.stride[0],
                kernel.dilation[0],
                norm_act=True,
            ),
            nn.Conv2d(width, last.out_channels, 1, bias=False),
            nn.BatchNorm2d(last.out_channels),
        )
        self.shortcut = bottleneck.downsample or nn.Identity()
        initialize(self.branch)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.branch(x))


def enlarge_kernels(encoder: Encoder) -> None:
    """Turn a ResNet into a ResNet-GCN of about its cost, in place (the paper's appendix)."""
    layers = encoder.stages[-2].layer3, encoder.stages[-1].layer4
    for layer, width, kernel_size in zip(layers, (85, 128), (5, 7), strict=True):
        for number, bottleneck in enumerate(layer):
            layer[number] = GlobalBottleneck(bottleneck, width, kernel_size)
