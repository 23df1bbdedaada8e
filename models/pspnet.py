"""PSPNet: the pyramid of pooled maps on a dilated encoder.

Zhao et al., Pyramid Scene Parsing Network, 2017 (arXiv:1612.01105).
"""

from __future__ import annotations

from torch import Tensor, nn

from base.base_model import MODELS
from models.blocks.context import PyramidPooling
from models.blocks.heads import AuxHead, Heads, OutChannels
from models.blocks.init import initialize
from models.encoder_model import EncoderModel
from models.encoders import Backbone, OutputStride
from utils.registry import Positive


@MODELS.register
class PSPNet(EncoderModel):
    """c5 beside its means over grids of 1, 2, 3 and 6 cells, joined by a 3x3; an aux head on c4.

    As the paper's published model, a quarter of c5's channels in each grid and after the join, but
    with torchvision's encoders in place of a three-convolution stem. Kernels are padded to keep a
    map's size, and enlarging is bilinear with `align_corners=False`; the authors' code aligns
    corners, as does pytorch-segmentation's port. The auxiliary head speaks in training only.

    Args:
        pyramid_bins: Cells along each side of each grid.
        use_aux: Add the auxiliary head on c4; the loss weighs it by 0.4. With several named outputs
            there is none.
        dropout: Share of channels dropped before the last convolution.
    """

    def __init__(
        self,
        out_channels: OutChannels,
        backbone: Backbone = "resnet50",
        in_channels: Positive = 3,
        pretrained: bool | str = False,
        output_stride: OutputStride = 8,
        pyramid_bins: list[Positive] = (1, 2, 3, 6),
        use_aux: bool = True,
        dropout: float = 0.1,
        freeze_bn: bool = False,
        freeze_backbone: bool = False,
    ):
        super().__init__(backbone, in_channels, pretrained, output_stride)
        c4, c5 = self.encoder.channels[-2:]
        self.pyramid = PyramidPooling(c5, c5 // 4, pyramid_bins)
        self.dropout = nn.Dropout2d(dropout)
        self.head = Heads(c5 // 4, out_channels)
        self.aux = AuxHead(c4, out_channels, use_aux)
        initialize(self.pyramid)
        self.freeze(freeze_backbone, freeze_bn)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        size = image.shape[-2:]
        c4, c5 = self.encoder(image)[-2:]
        outputs = self.head(self.dropout(self.pyramid(c5)), size)
        return outputs | self.aux(c4, size)


MODELS.alias("PSPDenseNet", "PSPNet", backbone="densenet201")
