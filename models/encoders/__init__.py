"""Backbones by name: an image in, feature maps of falling size out."""

import re
from collections.abc import Callable
from typing import Annotated, Literal

from models.encoders.encoder import Encoder
from models.encoders.timm_nets import timm_encoder
from models.encoders.torchvision_nets import ALIASES, LAYERS, torchvision_encoder
from models.encoders.xception import xception_encoder
from utils.registry import suggest

ENCODERS: dict[str, Callable] = {
    **dict.fromkeys(LAYERS, torchvision_encoder),
    "xception": xception_encoder,
}
TIMM = "timm/"
OutputStride = Literal[8, 16, 32]
Backbone = Annotated[str, re.compile(f"^{TIMM}.+")] | Literal[(*ENCODERS, *ALIASES)]


def make_encoder(
    name: str, in_channels: int = 3, pretrained: bool | str = False, output_stride: int = 32
) -> Encoder:
    """Build the encoder a config calls `name`.

    Args:
        name: One of `ENCODERS` or `ALIASES`, such as "resnet34", or "timm/" and a name of timm's.
        in_channels: Channels of the image.
        pretrained: True for ImageNet weights, or the path of a weights file.
        output_stride: Stride of the deepest map, in pixels: 8, 16 or 32.

    Raises:
        ValueError: If there is no such encoder, or it has no such output stride.
    """
    name = ALIASES.get(name, name)
    if in_channels < 1:
        raise ValueError(f"in_channels is {in_channels}; an image has at least one channel")
    if name.startswith(TIMM):
        return timm_encoder(name.removeprefix(TIMM), in_channels, pretrained, output_stride)
    if name not in ENCODERS:
        known = suggest(name, [*ENCODERS, *ALIASES])
        raise ValueError(f"unknown backbone {name!r}; {known} (or {TIMM}<name>)")
    return ENCODERS[name](name, in_channels, pretrained, output_stride)
