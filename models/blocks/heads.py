"""The last layer: from features to the maps a loss reads."""

import torch.nn.functional as F
from torch import Tensor, nn


class Heads(nn.Module):
    """One convolution per output on shared features, enlarged to the image's size.

    Enlarging is bilinear with `align_corners=False`: pixel centres keep their place.

    Args:
        in_channels: Channels of the features.
        out_channels: Channels of `"out"`, or a dict with the channels of each named output.
        kernel_size: Side of the kernel, odd.
    """

    def __init__(self, in_channels: int, out_channels: int | dict[str, int], kernel_size: int = 1):
        super().__init__()
        named = out_channels if isinstance(out_channels, dict) else {"out": out_channels}
        self.heads = nn.ModuleDict(
            {
                name: nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2)
                for name, channels in named.items()
            }
        )

    def forward(self, features: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """Map features (B, in_channels, h, w) to each name's (B, C, H, W); size = (H, W)."""
        return {name: resize(head(features), size) for name, head in self.heads.items()}


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize to (H, W); the map itself where it has that size."""
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
