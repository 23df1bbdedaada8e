"""What every backbone gives: the maps of a classification network, finest first."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

POOLS = (nn.MaxPool2d, nn.AvgPool2d)


class Encoder(nn.Module):
    """A network's layers, cut into stages wherever the map's size falls.

    The last map of each stage is a feature: c5 is the deepest, and the last four are the c2 ... c5
    of the ResNet and FPN papers; c1 (stride 2) and c0 (stride 1) precede them where the network has
    them. A stage that would pass the output stride keeps its size: its stride becomes 1 and its
    kernels are dilated, the one that lost its stride by the dilation before it, as torchvision does
    (Chen et al., Rethinking Atrous Convolution, 2017, arXiv:1706.05587). Pooling that would pass it
    is left out; a VGG's last stage is pooling alone, so at 16 and 8 its c5 is its c4. A parameter
    keeps its name behind `stages.<number>.`.

    Args:
        layers: The network's layers by name, in order, without the classifier.
        in_channels: Channels of the image.
        output_stride: Stride of c5 in pixels: 8, 16 or 32.
    Attributes:
        channels: Channels of each feature.
        strides: Stride of each feature, in pixels.
    Shape:
        image (B, in_channels, H, W) -> features (B, channels[i], H / strides[i], W / strides[i]),
        sizes rounded as the network does.
    Raises:
        ValueError: If the output stride is another number, or a kernel cannot be dilated.
    """

    channels: list[int]
    strides: list[int]

    def __init__(
        self, layers: Iterable[tuple[str, nn.Module]], in_channels: int = 3, output_stride: int = 32
    ):
        super().__init__()
        if output_stride not in (8, 16, 32):
            raise ValueError(f"a backbone has output stride 8, 16 or 32, not {output_stride}")
        self.stages = nn.ModuleList()
        self.strides, dilation = [], 1
        for stage in cut_stages(layers):
            stride = max(map(stride_of, stage)) * (self.strides[-1] if self.strides else 1)
            if stride > output_stride:
                dilate(stage, dilation, dilation * 2)
                stride, dilation = output_stride, dilation * 2
            self.stages.append(stage)
            self.strides.append(stride)
        self.channels = widths(self, in_channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        features, x = [], image
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def cut_stages(layers: Iterable[tuple[str, nn.Module]]) -> list[nn.Sequential]:
    """Stages, each beginning with a layer that shrinks the map (the first with the first layer)."""
    stages: list[nn.Sequential] = []
    for name, layer in layers:
        if not stages or stride_of(layer) > 1 and len(stages[-1]):
            stages.append(nn.Sequential())
        stages[-1].add_module(name, layer)
    return stages


def stride_of(layer: nn.Module) -> int:
    """How much a layer shrinks the map: the largest stride in it."""
    strides = [m.stride for m in layer.modules() if isinstance(m, (nn.Conv2d, *POOLS))]
    return max((s if isinstance(s, int) else s[0] for s in strides), default=1)


def dilate(stage: nn.Module, before: int, after: int) -> None:
    """Take the stride out of a stage and dilate its kernels, in place.

    Args:
        stage: Convolutions and pools in the order they run.
        before: Dilation up to and including the kernel that loses its stride.
        after: Dilation of all later ones.
    """
    dilation = before
    for part in stage.modules():
        if isinstance(part, POOLS) and part.stride != 1:
            part.kernel_size, part.stride, part.padding = 1, 1, 0
            dilation = after
        elif isinstance(part, nn.Conv2d):
            size = part.kernel_size[0]
            if size % 2 == 0:
                raise ValueError(
                    f"this backbone has output stride 32 alone: its {size}x{size} kernels "
                    'cannot be dilated; set "output_stride" to 32'
                )
            part.dilation = (dilation, dilation) if size > 1 else (1, 1)
            part.padding = (part.dilation[0] * (size // 2),) * 2
            if part.stride != (1, 1):
                part.stride = (1, 1)
                dilation = after if size > 1 else dilation


def widths(encoder: nn.Module, in_channels: int) -> list[int]:
    """Channels of each feature, seen on a blank image."""
    weight = next(encoder.parameters())
    blank = torch.zeros(1, in_channels, 64, 64, device=weight.device, dtype=weight.dtype)
    encoder.eval()
    with torch.no_grad():
        channels = [feature.shape[1] for feature in encoder(blank)]
    encoder.train()
    return channels
