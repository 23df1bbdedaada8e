"""Backbones by name: an image in, feature maps of falling size out."""

from collections.abc import Callable
from typing import Literal

from models.encoders.resnet import RESNETS, ResNetEncoder
from utils.registry import suggest

ENCODERS: dict[str, Callable] = dict.fromkeys(RESNETS, ResNetEncoder)

Backbone = Literal[tuple(ENCODERS)]  # the names, for the schema


def make_encoder(
    name: str, in_channels: int = 3, pretrained: bool | str = False, output_stride: int = 32
):
    """Build the encoder a config calls `name`.

    Args:
        name: One of `ENCODERS`, such as "resnet34".
        in_channels: Channels of the image.
        pretrained: True for torchvision's ImageNet weights, or the path of a weights file.
        output_stride: Stride of the deepest map, in pixels: 8, 16 or 32.

    Raises:
        ValueError: If there is no such encoder, or it has no such output stride.
    """
    if name not in ENCODERS:
        raise ValueError(f"unknown backbone {name!r}; {suggest(name, ENCODERS)}")
    return ENCODERS[name](name, in_channels, pretrained, output_stride)
