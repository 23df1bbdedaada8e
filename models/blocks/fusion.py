"""How a decoder joins a deep feature map with a finer one."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.conv import DoubleConv


class UpFuse(nn.Module):
    """U-Net's step up: enlarge to the skip's size (nearest), concatenate, two 3x3 convolutions.

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
        if x.shape[-2:] != size:
            x = F.interpolate(x, size=size, mode="nearest")
        if skip is not None:
            x = torch.cat([x, skip], dim=1)
        return self.convs(x)
