"""SPOCO's U-Net: six levels, its convolutions written as letters.

Ronneberger et al., U-Net, 2015 (arXiv:1505.04597), as pytorch-3dunet and SPOCO (Wolny et al., 2022,
arXiv:2103.14572) use it for embeddings.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from base.base_model import MODELS, BaseModel
from models.blocks.heads import Heads, OutChannels
from utils.errors import UserError
from utils.registry import Positive

Layer = Callable[[int, int], nn.Module]  # (channels, groups) -> layer


def group_norm(channels: int, groups: int) -> nn.GroupNorm:
    """As many groups as asked for, or one where there are fewer channels than groups."""
    groups = groups if channels >= groups else 1
    if channels % groups:
        raise ValueError(f"{channels} channels do not divide into num_groups {groups}")
    return nn.GroupNorm(groups, channels)


LETTERS: dict[str, Layer] = {
    "b": lambda channels, groups: nn.BatchNorm2d(channels),
    "g": group_norm,
    "r": lambda channels, groups: nn.ReLU(),
    "l": lambda channels, groups: nn.LeakyReLU(),
    "e": lambda channels, groups: nn.ELU(),
}


@MODELS.register
class UNet2D(BaseModel):
    """Levels of two lettered convolutions, max pooling down, nearest enlarging up, a 1x1 head.

    Going down, the first convolution of a level has half its width (or its input's, if that is
    more). Kernels are padded to keep a map's size. Pooling drops an odd last row or column;
    enlarging goes to the skip's size exactly, to the nearest value and not bilinearly.

    Args:
        out_channels: Channels of the output, or of each named output.
        in_channels: Channels of the image.
        feature_maps: Width of each level, finest first.
        layer_order: Layers of one convolution in order: c convolution 3x3 (with a bias only where
            there is no norm), b batch norm, g group norm, r ReLU, l leaky ReLU with slope 0.01, e
            ELU.
        num_groups: Groups of a group norm; one where a map has fewer channels.
        freeze_bn: Keep every batch norm as it is.
    Shape:
        image (B, in_channels, H, W) -> {"out": (B, out_channels, H, W)}.
    Raises:
        ValueError: If layer_order has another letter or not one c, or widths do not divide.
        UserError: In forward, if a side of the image is below 2^(levels - 1) pixels.
    """

    def __init__(
        self,
        out_channels: OutChannels,
        in_channels: Positive = 3,
        feature_maps: list[Positive] = (16, 32, 64, 128, 256, 512),
        layer_order: str = "bcr",
        num_groups: Positive = 8,
        freeze_bn: bool = False,
    ):
        super().__init__()
        if len(feature_maps) < 2 or min(feature_maps) < 1:
            raise ValueError(f"feature_maps is {list(feature_maps)}; give two widths or more")
        self.in_channels = in_channels
        self.stride = 2 ** (len(feature_maps) - 1)

        def level(before: int, inner: int, after: int) -> nn.Sequential:
            return nn.Sequential(
                lettered_conv(before, inner, layer_order, num_groups),
                lettered_conv(inner, after, layer_order, num_groups),
            )

        ins = [in_channels, *feature_maps[:-1]]
        self.down = nn.ModuleList(
            level(before, max(width // 2, before), width)
            for before, width in zip(ins, feature_maps, strict=True)
        )
        upward = list(feature_maps)[::-1]
        self.up = nn.ModuleList(
            level(deep + width, width, width)
            for deep, width in zip(upward[:-1], upward[1:], strict=True)
        )
        self.head = Heads(feature_maps[0], out_channels)
        self.freeze(bn=freeze_bn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        if min(image.shape[-2:]) < self.stride:
            raise UserError(
                f"UNet2D: feature_maps has {len(self.down)} levels, for images from "
                f"{self.stride}x{self.stride} pixels up; {image.shape[-1]}x{image.shape[-2]} came: "
                "take larger images or crops, or fewer widths"
            )
        x = self.down[0](image)
        skips = [x]
        for level in self.down[1:]:
            x = level(F.max_pool2d(x, 2))
            skips.append(x)
        for level, skip in zip(self.up, skips[-2::-1], strict=True):
            x = F.interpolate(x, size=skip.shape[-2:], mode="nearest")
            x = level(torch.cat([skip, x], dim=1))
        return self.head(x, image.shape[-2:])


def lettered_conv(
    in_channels: int, out_channels: int, order: str, num_groups: int
) -> nn.Sequential:
    """One convolution and its norm and activation, in the order of the letters."""
    if order.count("c") != 1 or not set(order) <= {"c", *LETTERS}:
        raise ValueError(
            f"layer_order is {order!r}; one c for the convolution, and of {', '.join(LETTERS)} "
            "what you want before and after it"
        )
    layers, channels = [], in_channels
    for letter in order:
        if letter == "c":
            bias = not set("bg") & set(order)
            layers.append(nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias))
            channels = out_channels
        else:
            layers.append(LETTERS[letter](channels, num_groups))
    return nn.Sequential(*layers)
