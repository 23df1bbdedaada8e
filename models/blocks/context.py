"""How the deepest map sees the whole image: pyramids of dilated kernels and of pooled maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.blocks.conv import ConvNormAct, SeparableConvNormAct
from models.blocks.heads import resize


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: 1x1, dilated 3x3 kernels and the image's mean, side by side.

    Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, 2017
    (arXiv:1706.05587).

    Args:
        in_channels: Channels in.
        rates: Dilation of each 3x3 kernel, in pixels of the map.
        out_channels: Channels of each branch, and out.
        separable: Depthwise separable 3x3 kernels, as DeepLabV3+ has them.
        dropout: Share of values dropped at the end.
    Shape:
        (B, in_channels, H, W) -> (B, out_channels, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        rates: list[int],
        out_channels: int = 256,
        separable: bool = False,
        dropout: float = 0.5,
    ):
        super().__init__()
        kernel = SeparableConvNormAct if separable else ConvNormAct
        self.branches = nn.ModuleList(
            [
                ConvNormAct(in_channels, out_channels, 1),
                *(kernel(in_channels, out_channels, dilation=rate) for rate in rates),
            ]
        )
        self.image = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), ConvNormAct(in_channels, out_channels, 1)
        )
        self.project = nn.Sequential(
            ConvNormAct(out_channels * (len(rates) + 2), out_channels, 1), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        maps = [branch(x) for branch in self.branches]
        maps.append(self.image(x).expand_as(maps[0]))
        return self.project(torch.cat(maps, dim=1))


class PyramidPooling(nn.Module):
    """The map beside its means over grids of several sizes, enlarged, and a 3x3 to join them.

    Zhao et al., Pyramid Scene Parsing Network, 2017 (arXiv:1612.01105).

    Args:
        in_channels: Channels in; each grid's map has as many divided by the number of grids.
        out_channels: Channels out.
        bins: Cells along each side of each grid.
    Shape:
        (B, in_channels, H, W) -> (B, out_channels, H, W).
    Raises:
        ValueError: If there are no bins, or more than channels.
    """

    def __init__(self, in_channels: int, out_channels: int, bins: list[int] = (1, 2, 3, 6)):
        super().__init__()
        if not 1 <= len(bins) <= in_channels:
            raise ValueError(
                f"pyramid_bins has {len(bins)} numbers; give one a grid, such as [1, 2, 3, 6]"
            )
        width = in_channels // len(bins)
        self.grids = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(cells), ConvNormAct(in_channels, width, 1))
            for cells in bins
        )
        self.join = ConvNormAct(in_channels + width * len(bins), out_channels)

    def forward(self, x: Tensor) -> Tensor:
        grids = [resize(grid(x), x.shape[-2:]) for grid in self.grids]
        return self.join(torch.cat([x, *grids], dim=1))
