"""Convolutions with their norm and activation."""

from torch import nn


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch norm, ReLU; `same` padding at stride 1.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        kernel_size: Side of the kernel, odd.
        stride: Step of the kernel, in pixels.
        dilation: Distance between the kernel's taps, in pixels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        dilation: int = 1,
    ):
        super().__init__(
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride,
                padding=dilation * (kernel_size // 2),
                dilation=dilation,
                bias=False,
            ),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class SeparableConvNormAct(nn.Sequential):
    """A 3x3 kernel a channel, 1x1 across channels, batch norm, ReLU; `same` padding.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        dilation: Distance between the 3x3 kernel's taps, in pixels.
    """

    def __init__(self, in_channels: int, out_channels: int, dilation: int = 1):
        super().__init__(
            nn.Conv2d(
                in_channels,
                in_channels,
                3,
                padding=dilation,
                dilation=dilation,
                groups=in_channels,
                bias=False,
            ),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class DoubleConv(nn.Sequential):
    """Two 3x3 ConvNormActs, U-Net's unit.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        inner: Channels between the two; out_channels by default.
    """

    def __init__(self, in_channels: int, out_channels: int, inner: int | None = None):
        inner = inner or out_channels
        super().__init__(ConvNormAct(in_channels, inner), ConvNormAct(inner, out_channels))
