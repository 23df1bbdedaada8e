"""The three decoders of UNet: from an encoder's features to one map near the image's size.

Each says how wide its map is, `out_channels`, and how wide a kernel its head should have,
`head_kernel`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.fusion import UpConvFuse, UpFuse, fit


class ClassicDecoder(nn.Module):
    """The paper's: a learned step up to each finer feature.

    Args:
        channels: Channels of the features, finest first.
        widths: Channels after each step, deepest first; as many as finer features.
    """

    head_kernel = 1

    def __init__(self, channels: list[int], widths: list[int] | None):
        super().__init__()
        *skips, deepest = channels
        widths = skips[::-1] if widths is None else widths
        if len(widths) != len(skips):
            raise ValueError(
                f"decoder_channels has {len(widths)} widths; without a backbone UNet takes four"
            )
        ins = [deepest, *widths[:-1]]
        self.steps = nn.ModuleList(map(UpConvFuse, ins, skips[::-1], widths))
        self.out_channels = widths[-1]

    def forward(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Join features to (B, out_channels, H, W); size is not used."""
        *skips, x = features
        for step, skip in zip(self.steps, reversed(skips), strict=True):
            x = step(x, skip)
        return x


class NarrowDecoder(nn.Module):
    """Nearest enlarging and two convolutions a step, as segmentation_models.pytorch has it.

    Args:
        channels: Channels of the features, finest first.
        widths: Channels after each step, deepest first: four or five.
    """

    head_kernel = 3

    def __init__(self, channels: list[int], widths: list[int] | None):
        super().__init__()
        widths = [256, 128, 64, 32, 16] if widths is None else widths
        if len(widths) not in (4, 5):
            raise ValueError(
                f"decoder_channels has {len(widths)} widths; four end at half the image's size, "
                "five at its size"
            )
        *skips, deepest = channels
        skips = [*reversed(skips), 0, 0][: len(widths)]
        self.steps = nn.ModuleList(map(UpFuse, [deepest, *widths[:-1]], skips, widths))
        self.out_channels = widths[-1]

    def forward(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Join features to (B, out_channels, h, w); size is the image's (H, W)."""
        *skips, x = features
        skips = [*reversed(skips), None, None]
        for number, (step, skip) in enumerate(zip(self.steps, skips, strict=False), start=1):
            doubled = size if number == 5 else (x.shape[-2] * 2, x.shape[-1] * 2)
            x = step(x, skip, doubled if skip is None else skip.shape[-2:])
        return x


class WideDecoder(nn.Module):
    """TernausNet's, as the Cityscapes/KITTI project has it: each step convolves, then enlarges.

    Iglovikov and Shvets, TernausNet, 2018 (arXiv:1801.05746). A centre below c5, then c5 to c2 are
    concatenated in turn; the stem is not. No norm but in the residual blocks.

    Args:
        channels: Channels of the features, finest first; the last four are used.
        residual: Add a residual block before each of the four enlargings after a concatenation.
    """

    head_kernel = 1

    def __init__(self, channels: list[int], residual: bool):
        super().__init__()
        c2, c3, c4, c5 = channels[-4:]
        self.centre = WideStep(c5, 512, 256)
        self.steps = nn.ModuleList(
            [
                WideStep(256 + c5, 512, 256, residual),
                WideStep(256 + c4, 512, 256, residual),
                WideStep(256 + c3, 256, 64, residual),
                WideStep(64 + c2, 128, 128, residual),
            ]
        )
        self.last_step = WideStep(128, 128, 32)
        self.last_conv = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(inplace=True))
        self.out_channels = 32

    def forward(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Join features to (B, out_channels, H, W); size = (H, W)."""
        x = self.centre(F.max_pool2d(features[-1], 2, ceil_mode=True))
        for step, skip in zip(self.steps, features[:-5:-1], strict=True):
            x = step(torch.cat([fit(x, skip.shape[-2:]), skip], dim=1))
        return self.last_conv(fit(self.last_step(x), size))


class WideStep(nn.Sequential):
    """3x3 convolution, a residual block where asked for, 4x4 transposed convolution to twice.

    Args:
        in_channels: Channels in.
        inner: Channels between the two.
        out_channels: Channels out.
        residual: Add the residual block.
    Shape:
        x (B, in_channels, h, w) -> (B, out_channels, 2h, 2w).
    """

    def __init__(self, in_channels: int, inner: int, out_channels: int, residual: bool = False):
        super().__init__(
            nn.Conv2d(in_channels, inner, 3, padding=1),
            nn.ReLU(inplace=True),
            ResidualBlock(inner) if residual else nn.Identity(),
            nn.ConvTranspose2d(inner, out_channels, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with norms, added to the input, and a norm of the sum."""

    def __init__(self, channels: int):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
        )
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(x + self.branch(x)))
