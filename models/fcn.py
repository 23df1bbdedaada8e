"""FCN: VGG's classifier as a convolution, its scores joined with those of earlier pools.

Long et al., Fully Convolutional Networks for Semantic Segmentation, 2015 (arXiv:1411.4038).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from base.base_model import MODELS
from models.blocks.heads import OutChannels, by_name, resize, split
from models.blocks.init import initialize
from models.encoder_model import EncoderModel
from models.encoders.torchvision_nets import VGG, VGGS
from models.encoders.weights import read_weights
from utils.registry import Positive

SKIPS = {32: 0, 16: 1, 8: 2}  # how many pools join the scores, by the stride of the finest


@MODELS.register
class FCN(EncoderModel):
    """Scores of VGG's fc7 at stride 32, enlarged and added to those of pool4, then of pool3.

    FCN-8s, 16s and 32s with the scales of the authors' at-once training: pool4 times 0.01, pool3
    times 0.0001. Differs from the authors' code in how sizes come out. They pad the image by 100
    pixels of zeros, which the 7x7 kernel of fc6 takes away, and cut the rest by offsets; here fc6
    is padded, the image is padded to a multiple of 32 by its own edge, and the scores are cut back.
    Their fixed bilinear transposed convolutions are bilinear enlarging by the same factor
    (`align_corners=False`): equal but at the border, where theirs fade to zero. And the layers of
    scores start random, not zero.

    Args:
        backbone: Name of a VGG, such as "vgg16".
        pretrained: True for ImageNet weights in the encoder and in fc6 and fc7, or the path of a
            weights file; fc6 and fc7 stay random if it has no classifier.
        stride: Which FCN: stride of the finest scores in pixels, 8, 16 or 32.
    Raises:
        ValueError: If the backbone is no VGG, or the stride another number.
    """

    def __init__(
        self,
        out_channels: OutChannels,
        backbone: VGG = "vgg16",
        in_channels: Positive = 3,
        pretrained: bool | str = False,
        stride: Literal[8, 16, 32] = 8,
        freeze_bn: bool = False,
        freeze_backbone: bool = False,
    ):
        if backbone not in VGGS:
            raise ValueError(
                f"FCN turns VGG's classifier into convolutions: backbone is one of "
                f"{', '.join(VGGS)}, not {backbone!r}"
            )
        if stride not in SKIPS:
            raise ValueError(f"FCN gives scores of stride 8, 16 or 32, not {stride}")
        super().__init__(backbone, in_channels, pretrained)
        self.out_channels = out_channels
        width = sum(by_name(out_channels).values())
        *_, pool3, pool4, _, pool5 = self.encoder.channels
        self.classifier = nn.Sequential(  # fc6 and fc7
            nn.Conv2d(pool5, 4096, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(4096, 4096, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
        )
        self.score = nn.Conv2d(4096, width, 1)
        self.skips = nn.ModuleList(
            nn.Conv2d(channels, width, 1) for channels in (pool4, pool3)[: SKIPS[stride]]
        )
        initialize(self.classifier)
        if pretrained:
            copy_classifier(self.classifier, read_weights(backbone, pretrained))
        self.freeze(freeze_backbone, freeze_bn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        height, width = image.shape[-2:]
        pad = (0, -width % self.stride, 0, -height % self.stride)
        x = F.pad(image, pad, mode="replicate") if any(pad) else image
        *_, conv3, conv4, _, pool5 = self.encoder(x)
        scores = self.score(self.classifier(pool5))
        for skip, conv, scale in zip(self.skips, (conv4, conv3), (0.01, 0.0001), strict=False):
            pool = F.max_pool2d(conv, 2)
            scores = resize(scores, pool.shape[-2:]) + skip(pool * scale)
        scores = resize(scores, x.shape[-2:])
        return split(scores[..., :height, :width], self.out_channels)


@torch.no_grad()
def copy_classifier(classifier: nn.Sequential, state: dict[str, Tensor]) -> None:
    """Fill fc6 and fc7 with the linear layers of a VGG, in place, as far as there are any.

    Args:
        classifier: Convolutions under the numbers that the linear layers have in torchvision's VGG.
        state: The VGG's weights; a linear layer's is (O, I * kH * kW).
    """
    for number in (0, 3):
        conv, linear = classifier[number], state.get(f"classifier.{number}.weight")
        if linear is not None and linear.shape == conv.weight.flatten(1).shape:
            conv.weight.copy_(linear.view_as(conv.weight))
            conv.bias.copy_(state[f"classifier.{number}.bias"])


MODELS.alias("FCN8", "FCN", stride=8)
