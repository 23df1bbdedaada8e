"""How a decoder joins a deep feature map with a finer one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.conv import DoubleConv
from models.blocks.heads import resize


class UpFuse(nn.Module):
    """Enlarge to the skip's size (nearest), concatenate, two 3x3 convolutions.

    Args:
        in_channels: Channels of the deep map.
        skip_channels: Channels of the finer map; 0 where there is none.
        out_channels: Channels out.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int):
        super().__init__()
        self.convs = DoubleConv(in_channels + skip_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Fuse `x` (B, C, h, w) and `skip` (B, S, H, W) to (B, out_channels, H, W); size: H, W."""
        x = fit(x, size)
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        return self.convs(x)


class UpConvFuse(nn.Module):
    """The U-Net paper's step: 2x2 transposed convolution to the skip's width, concatenate, two 3x3.

    Args:
        in_channels: Channels of the deep map.
        skip_channels: Channels of the finer map.
        out_channels: Channels out; half as many between the two convolutions.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int):
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, skip_channels, 2, stride=2)
        self.convs = DoubleConv(skip_channels * 2, out_channels, inner=out_channels // 2)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Fuse `x` (B, C, h, w) and `skip` (B, S, H, W) to (B, out_channels, H, W)."""
        return self.convs(torch.cat([resize(self.up(x), skip.shape[-2:]), skip], dim=1))


def fit(x: Tensor, size: tuple[int, int]) -> Tensor:
    """A map (B, C, h, w) brought to (H, W) by its nearest values; itself where it has that size."""
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="nearest")
