"""ENet: a small, fast network trained from scratch.

Paszke et al., ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation, 2016
(arXiv:1606.02147).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from base.base_model import MODELS, BaseModel
from models.blocks.heads import OutChannels, by_name
from models.blocks.init import initialize
from utils.registry import Positive

Activation = Callable[[int], nn.Module]  # channels -> module


def relu(channels: int) -> nn.Module:
    return nn.ReLU()


PRELUS: dict[str, Activation] = {
    "layer": lambda channels: nn.PReLU(),
    "channel": lambda channels: nn.PReLU(channels, init=0.0),
}


@MODELS.register
class ENet(BaseModel):
    """Early downsampling, bottlenecks with dilated and asymmetric kernels, a light decoder.

    As the paper's Table 1: stages 1 to 3 encode with PReLU, 4 and 5 decode with ReLU, and
    upsampling puts values back where max pooling took them. No convolution has a bias. Differs
    from the paper, with most ports: PReLU learns one slope a layer by default (the paper's one a
    feature map), one more activation follows a branch's last 1x1, and a branch enlarges by a 2x2
    transposed convolution (3x3).
    Kernels are padded with zeros, and nothing is enlarged bilinearly. The image is padded to a
    multiple of 8 by its own edge, and the scores are cut back to its size.

    Args:
        out_channels: Channels of the output, or of each named output.
        in_channels: Channels of the image.
        dropout: Share of channels dropped in stage 1, and in stages 2 to 5.
        prelu: One slope a "layer", or one a "channel" as in the paper and the TuSimple project.
        norm_pool: Norm and PReLU in the first block over the pooled image too; false leaves it as
            it is, as the TuSimple project does.
        head_kernel: Side of the last transposed convolution: 3, or the TuSimple project's 2.
        head_bias: A bias in the last transposed convolution, as the TuSimple project has it; it
            starts at zero, theirs at 10.
        freeze_bn: Keep every batch norm as it is.
    Shape:
        image (B, in_channels, H, W) -> {"out": (B, out_channels, H, W)}.
    Raises:
        ValueError: If in_channels leaves the first block, 16 wide, no convolution.
    """

    stride = 8

    def __init__(
        self,
        out_channels: OutChannels,
        in_channels: Positive = 3,
        dropout: tuple[float, float] = (0.01, 0.1),
        prelu: Literal["layer", "channel"] = "layer",
        norm_pool: bool = True,
        head_kernel: Literal[2, 3] = 3,
        head_bias: bool = False,
        freeze_bn: bool = False,
    ):
        super().__init__()
        if not 1 <= in_channels < 16:
            raise ValueError(f"in_channels is {in_channels}; ENet's first block takes 1 to 15")
        first, later = dropout
        act = PRELUS[prelu]
        self.in_channels = in_channels
        self.initial = InitialBlock(in_channels, 16, act, norm_pool)
        self.down1 = DownBottleneck(16, 64, first, act)
        self.stage1 = nn.Sequential(*(Bottleneck(64, first, act) for _ in range(4)))
        self.down2 = DownBottleneck(64, 128, later, act)
        self.stage2 = context_stage(later, act)
        self.stage3 = context_stage(later, act)
        self.up4 = UpBottleneck(128, 64, later)
        self.stage4 = nn.Sequential(*(Bottleneck(64, later, relu) for _ in range(2)))
        self.up5 = UpBottleneck(64, 16, later)
        self.stage5 = Bottleneck(16, later, relu)
        margin = head_kernel - 2  # a 3x3 kernel overlaps its neighbours by one
        self.head = nn.ModuleDict(
            {
                name: nn.ConvTranspose2d(
                    16, channels, head_kernel, 2, margin, output_padding=margin, bias=head_bias
                )
                for name, channels in by_name(out_channels).items()
            }
        )
        initialize(self)
        self.freeze(bn=freeze_bn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        height, width = image.shape[-2:]
        pad = (-width % self.stride, -height % self.stride)
        x = F.pad(image, (0, pad[0], 0, pad[1]), mode="replicate") if any(pad) else image
        x = self.initial(x)
        x, places1 = self.down1(x)
        x = self.stage1(x)
        x, places2 = self.down2(x)
        x = self.stage3(self.stage2(x))
        x = self.stage4(self.up4(x, places2))
        x = self.stage5(self.up5(x, places1))
        return {name: head(x)[..., :height, :width] for name, head in self.head.items()}


class InitialBlock(nn.Module):
    """A strided convolution beside max pooling of the image, concatenated (Figure 2a).

    Args:
        in_channels: Channels of the image.
        out_channels: Channels out.
        act: Activation.
        norm_pool: Norm and activation over both; else over the convolution alone.
    Shape:
        x (B, in_channels, H, W) -> (B, out_channels, H / 2, W / 2); H and W even.
    """

    def __init__(self, in_channels: int, out_channels: int, act: Activation, norm_pool: bool):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels - in_channels, 3, stride=2, padding=1, bias=False
        )
        self.pool = nn.MaxPool2d(2)
        self.norm_pool = norm_pool
        normed = out_channels if norm_pool else out_channels - in_channels
        self.norm_act = nn.Sequential(nn.BatchNorm2d(normed), act(normed))

    def forward(self, x: Tensor) -> Tensor:
        if self.norm_pool:
            return self.norm_act(torch.cat([self.conv(x), self.pool(x)], dim=1))
        return torch.cat([self.norm_act(self.conv(x)), self.pool(x)], dim=1)


def conv_norm_act(conv: nn.Module, act: Activation) -> nn.Sequential:
    """A convolution, a batch norm of its width and an activation."""
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), act(conv.out_channels))


class Bottleneck(nn.Module):
    """1x1 to a quarter of the width, a kernel, 1x1 back, dropout; added to the input (Figure 2b).

    A norm and an activation follow every convolution, the last included.

    Args:
        channels: Width in and out.
        dropout: Share of channels dropped on the branch.
        act: Activation.
        dilation: Distance between the 3x3 kernel's taps, in pixels.
        asymmetric: A 5x1 and a 1x5 kernel in place of the 3x3.
    Shape:
        x (B, channels, H, W) -> the same.
    """

    def __init__(
        self,
        channels: int,
        dropout: float,
        act: Activation,
        dilation: int = 1,
        asymmetric: bool = False,
    ):
        super().__init__()
        inner = channels // 4
        if asymmetric:
            kernels = [
                nn.Conv2d(inner, inner, (5, 1), padding=(2, 0), bias=False),
                nn.Conv2d(inner, inner, (1, 5), padding=(0, 2), bias=False),
            ]
        else:
            kernels = [nn.Conv2d(inner, inner, 3, padding=dilation, dilation=dilation, bias=False)]
        self.branch = nn.Sequential(
            conv_norm_act(nn.Conv2d(channels, inner, 1, bias=False), act),
            *(conv_norm_act(kernel, act) for kernel in kernels),
            conv_norm_act(nn.Conv2d(inner, channels, 1, bias=False), act),
            nn.Dropout2d(dropout),
        )
        self.act = act(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.branch(x))


class DownBottleneck(nn.Module):
    """A bottleneck at stride 2 beside max pooling, whose new channels are zero.

    Returns the map and the places the maxima came from.

    Shape:
        x (B, in_channels, H, W) -> (B, out_channels, H / 2, W / 2) and (B, in_channels, H / 2,
        W / 2) int64; H and W even.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float, act: Activation):
        super().__init__()
        inner = in_channels // 4
        self.extra = out_channels - in_channels
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.branch = nn.Sequential(
            conv_norm_act(nn.Conv2d(in_channels, inner, 2, stride=2, bias=False), act),
            conv_norm_act(nn.Conv2d(inner, inner, 3, padding=1, bias=False), act),
            conv_norm_act(nn.Conv2d(inner, out_channels, 1, bias=False), act),
            nn.Dropout2d(dropout),
        )
        self.act = act(out_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled, places = self.pool(x)
        pooled = F.pad(pooled, (0, 0, 0, 0, 0, self.extra))
        return self.act(pooled + self.branch(x)), places


class UpBottleneck(nn.Module):
    """A bottleneck with a 2x2 transposed convolution beside max unpooling.

    Shape:
        x (B, in_channels, h, w), places (B, out_channels, h, w) -> (B, out_channels, 2h, 2w).
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float):
        super().__init__()
        inner = in_channels // 4
        self.main = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        )
        self.unpool = nn.MaxUnpool2d(2)
        self.branch = nn.Sequential(
            conv_norm_act(nn.Conv2d(in_channels, inner, 1, bias=False), relu),
            conv_norm_act(nn.ConvTranspose2d(inner, inner, 2, stride=2, bias=False), relu),
            conv_norm_act(nn.Conv2d(inner, out_channels, 1, bias=False), relu),
            nn.Dropout2d(dropout),
        )
        self.act = nn.ReLU()

    def forward(self, x: Tensor, places: Tensor) -> Tensor:
        return self.act(self.unpool(self.main(x), places) + self.branch(x))


def context_stage(dropout: float, act: Activation) -> nn.Sequential:
    """Stage 2, and again stage 3: plain, dilated and asymmetric bottlenecks in turn."""
    return nn.Sequential(
        Bottleneck(128, dropout, act),
        Bottleneck(128, dropout, act, dilation=2),
        Bottleneck(128, dropout, act, asymmetric=True),
        Bottleneck(128, dropout, act, dilation=4),
        Bottleneck(128, dropout, act),
        Bottleneck(128, dropout, act, dilation=8),
        Bottleneck(128, dropout, act, asymmetric=True),
        Bottleneck(128, dropout, act, dilation=16),
    )
