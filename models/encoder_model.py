"""The common part of models whose encoder the config names."""

from __future__ import annotations

from base.base_model import BaseModel
from models.encoders import make_encoder


class EncoderModel(BaseModel):
    """A model on a backbone, kept in `self.encoder`.

    Args:
        out_channels: Channels of the output, or of each named output.
        backbone: Name of the encoder, such as "resnet50" or "timm/mobileone_s0".
        in_channels: Channels of the image.
        pretrained: True for ImageNet weights in the encoder, or the path of a weights file.
        output_stride: Stride of the deepest features in pixels: 8, 16 or 32. A smaller one is finer
            and costs time and memory.
        freeze_bn: Keep every batch norm as it is (small batches, pretrained weights).
        freeze_backbone: Train the decoder alone.
    Shape:
        image (B, in_channels, H, W) -> {"out": (B, out_channels, H, W)}.
    Raises:
        ValueError: If the backbone is unknown or has no such output stride.
    """

    def __init__(
        self,
        backbone: str | None,
        in_channels: int = 3,
        pretrained: bool | str = False,
        output_stride: int = 32,
    ):
        super().__init__()
        self.in_channels = in_channels
        if backbone is not None:  # a subclass may bring its own features
            self.encoder = make_encoder(backbone, in_channels, pretrained, output_stride)
            self.stride = self.encoder.strides[-1]
