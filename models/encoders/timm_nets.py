"""timm's networks as encoders, where the optional package timm is installed."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor, nn

from models.encoders.weights import weights_in
from utils.errors import UserError


class TimmEncoder(nn.Module):
    """The feature maps of a timm network; the same promise as `Encoder`.

    Attributes:
        channels: Channels of each feature.
        strides: Stride of each feature, in pixels.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net
        self.channels = list(net.feature_info.channels())
        self.strides = list(net.feature_info.reduction())

    def forward(self, image: Tensor) -> list[Tensor]:
        return self.net(image)


def timm_encoder(
    name: str, in_channels: int = 3, pretrained: bool | str = False, output_stride: int = 32
) -> TimmEncoder:
    """An encoder of the timm network `name`.

    Args:
        name: A name of `timm.list_models()`.
        in_channels: Channels of the image.
        pretrained: True for timm's default weights, or the path of a weights file.
        output_stride: Stride of the deepest map, in pixels: 8, 16 or 32.

    Raises:
        ValueError: If timm has no such network, or the network no such output stride or no maps of
            strides 4, 8, 16 and 32, or maps of another shape than it says.
        UserError: If timm is not installed, or the weights cannot be had or do not fit.
    """
    try:
        import timm
    except ImportError as error:
        raise UserError(
            f"backbone timm/{name} needs timm, which is not installed: pip install timm"
        ) from error
    if not timm.is_model(name):
        close = timm.list_models(f"*{name}*")[:5] or timm.list_models(f"{name[:6]}*")[:5]
        hint = f"; near are {', '.join(close)}" if close else ""
        raise ValueError(f"timm {timm.__version__} has no network {name!r}{hint}")
    options = {"in_chans": in_channels, "features_only": True}
    if output_stride != 32:
        options["output_stride"] = output_stride
    try:
        net = timm.create_model(name, **options)
    except (NotImplementedError, AssertionError, TypeError, RuntimeError) as error:
        words = str(error) if output_stride == 32 else ""  # else only of an unknown argument
        stride = 'set "output_stride" to 32, or ' if output_stride != 32 else ""
        raise ValueError(
            f"timm/{name} gives no feature maps at output stride {output_stride}"
            f"{words and f' ({words})'}; {stride}take another network"
        ) from error
    if pretrained:
        net = with_weights(timm, name, pretrained, options)
    encoder = TimmEncoder(net)
    wanted = [min(stride, output_stride) for stride in (4, 8, 16, 32)]
    if encoder.strides[-4:] != wanted:
        raise ValueError(
            f"timm/{name} gives maps at strides {encoder.strides}; the last four must be {wanted}"
        )
    size = 65, 97
    try:
        weight = next(net.parameters())
        with torch.no_grad():
            maps = encoder.eval()(torch.zeros(1, in_channels, *size, device=weight.device))
        encoder.train()
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"timm/{name} does not take images of any size: {error}") from error
    for x, channels, stride in zip(maps, encoder.channels, encoder.strides, strict=True):
        # a side is rounded up or down, by a pixel at most
        off = [abs(side * stride - length) for side, length in zip(x.shape[-2:], size, strict=True)]
        if x.shape[1] != channels or max(off) > stride:
            raise ValueError(
                f"timm/{name} gives a map of {'x'.join(map(str, x.shape[1:]))} for an image of "
                f"65x97, where {channels} channels first and stride {stride} are promised; take "
                "another network"
            )
    return encoder


def with_weights(timm: ModuleType, name: str, source: bool | str, options: dict) -> nn.Module:
    """The network `name` with timm's own weights where `source` is true, else those in a file.

    Raises:
        UserError: If they cannot be had or do not fit.
    """
    if source is not True:
        options = options | {"pretrained_cfg_overlay": {"state_dict": weights_in(source)}}
    try:
        return timm.create_model(name, pretrained=True, **options)
    except OSError as error:
        raise UserError(
            f"the pretrained weights of timm/{name} could not be had "
            f"({error or type(error).__name__}); "
            'set "pretrained" to false, or to the path of a weights file you have'
        ) from error
    except RuntimeError as error:
        raise UserError(
            f"weights {source} do not fit timm/{name}: {' '.join(str(error).split())[:200]}"
        ) from error
