"""The last layer: from features to the maps a loss reads."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.conv import ConvNormAct

OutChannels = int | dict[str, int]


def by_name(out_channels: OutChannels) -> dict[str, int]:
    """Channels of each output; a single one is called "out"."""
    return out_channels if isinstance(out_channels, dict) else {"out": out_channels}


class Heads(nn.Module):
    """One convolution per output on shared features, enlarged to the image's size.

    Enlarging is bilinear, by default with `align_corners=False`: pixel centres keep their place.

    Args:
        in_channels: Channels of the features.
        out_channels: Channels of `"out"`, or a dict with the channels of each named output.
        kernel_size: Side of the kernel, odd.
    """

    def __init__(self, in_channels: int, out_channels: OutChannels, kernel_size: int = 1):
        super().__init__()
        self.heads = nn.ModuleDict(
            {
                name: nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2)
                for name, channels in by_name(out_channels).items()
            }
        )

    def forward(
        self, features: Tensor, size: tuple[int, int], align_corners: bool = False
    ) -> dict[str, Tensor]:
        """Map features (B, in_channels, h, w) to each name's (B, C, H, W); size = (H, W)."""
        return {
            name: resize(head(features), size, align_corners) for name, head in self.heads.items()
        }


class AuxHead(nn.Module):
    """A second opinion from a map half way: `"aux"`, in training only.

    3x3 convolution to a quarter of the width, dropout, 1x1; the loss weighs it (0.4 by default).
    There is none where the model's outputs are named, none of them "out", or `wanted` is false.

    Args:
        in_channels: Channels of the map.
        out_channels: Channels of the outputs, as the model's.
        wanted: Build the head.
    """

    def __init__(self, in_channels: int, out_channels: OutChannels, wanted: bool = True):
        super().__init__()
        channels = by_name(out_channels).get("out") if wanted else None
        self.head = channels and nn.Sequential(
            ConvNormAct(in_channels, in_channels // 4),
            nn.Dropout2d(0.1),
            nn.Conv2d(in_channels // 4, channels, 1),
        )

    def forward(self, x: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """Map x (B, in_channels, h, w) to {"aux": (B, C, H, W)}, or to {}; size = (H, W)."""
        if self.head is None or not self.training:
            return {}
        return {"aux": resize(self.head(x), size)}


def split(x: Tensor, out_channels: OutChannels) -> dict[str, Tensor]:
    """Cut scores (B, sum of channels, H, W) into the named outputs."""
    named = by_name(out_channels)
    return dict(zip(named, x.split(list(named.values()), dim=1), strict=True))


def cut(x: Tensor, like: Tensor) -> Tensor:
    """The upper left part of a map, of another's height and width."""
    return x[..., : like.shape[-2], : like.shape[-1]]


def resize(x: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Bilinear resize to (H, W); the map itself where it has that size."""
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)
