"""SegNet: VGG and its mirror, which unpools by the places of VGG's maxima.

Badrinarayanan et al., SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation, 2017 (arXiv:1511.00561).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from base.base_model import MODELS
from models.blocks.conv import ConvNormAct
from models.blocks.heads import Heads, OutChannels
from models.blocks.init import initialize
from models.encoder_model import EncoderModel
from models.encoders.torchvision_nets import VGG, VGGS
from utils.registry import Positive


@MODELS.register
class SegNet(EncoderModel):
    """VGG's convolutions, then the same in reverse, where max unpooling undoes each of five pools.

    Unpooling puts a value where the maximum came from and zeros around it; convolutions with batch
    norm and ReLU fill them in, and the head takes the place of the first convolution's mirror.
    Differs from the paper in unpooling to exactly the size before the pool, so that any size goes,
    and in the image, which is normalised as every model's here and not by local contrast. The
    paper's encoder has batch norm: the backbones that end in "_bn". Kernels are padded to keep a
    map's size, and nothing is enlarged bilinearly.

    Args:
        backbone: Name of a VGG, such as "vgg16_bn".
    Raises:
        ValueError: If the backbone is no VGG.
    """

    def __init__(
        self,
        out_channels: OutChannels,
        backbone: VGG = "vgg16_bn",
        in_channels: Positive = 3,
        pretrained: bool | str = False,
        freeze_bn: bool = False,
        freeze_backbone: bool = False,
    ):
        if backbone not in VGGS:
            raise ValueError(
                f"SegNet unpools by VGG's indices: backbone is one of {', '.join(VGGS)}, "
                f"not {backbone!r}"
            )
        super().__init__(backbone, in_channels, pretrained)
        first, *deeper, _ = self.encoder.stages  # the last is the fifth pool alone
        mirrored = (*reversed(deeper), first[1:])  # the head mirrors the first convolution
        self.decoder = nn.ModuleList(mirror(stage) for stage in mirrored)
        self.head = Heads(self.encoder.channels[0], out_channels, kernel_size=3)
        initialize(self.decoder)
        self.freeze(freeze_backbone, freeze_bn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        first, *later = self.encoder.stages
        x = first(image)
        pools = []
        for stage in later:
            size = x.shape[-2:]
            x, places = F.max_pool2d(x, 2, return_indices=True)
            pools.append((places, size))
            for layer in list(stage)[1:]:  # all but the pool
                x = layer(x)
        for convs, (places, size) in zip(self.decoder, reversed(pools), strict=True):
            x = convs(F.max_unpool2d(x, places, 2, output_size=size))
        return self.head(x, image.shape[-2:])


def mirror(stage: nn.Sequential) -> nn.Sequential:
    """A stage's convolutions in reverse, from the channels it gives to those it takes."""
    convs = [layer for layer in stage if isinstance(layer, nn.Conv2d)]
    return nn.Sequential(
        *(ConvNormAct(conv.out_channels, conv.in_channels) for conv in reversed(convs))
    )
