"""torchvision's ResNets as encoders, at output stride 8, 16 or 32.

He et al., Deep Residual Learning for Image Recognition, 2015 (arXiv:1512.03385); output stride by
dilation as in Chen et al., Rethinking Atrous Convolution, 2017 (arXiv:1706.05587).
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import get_model

from models.encoders.weights import adapt_first_conv, load_pretrained

RESNETS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
)


class ResNetEncoder(nn.Module):
    """Feature maps c1 ... c5 of a torchvision ResNet without its classifier.

    At output stride 16 the last stage, at 8 the last two, keep their size: strides become 1 and the
    3x3 kernels are dilated, the first block of a stage by the dilation before it, as torchvision
    does.

    Args:
        name: One of `RESNETS`.
        in_channels: Channels of the image.
        pretrained: True for torchvision's ImageNet weights, or the path of a weights file.
        output_stride: Stride of c5 in pixels: 8, 16 or 32.
    Shape:
        image (B, in_channels, H, W) -> five maps (B, channels[i], H / strides[i], W / strides[i]),
        sizes rounded up.
    Raises:
        ValueError: If the output stride is another number.
    """

    def __init__(
        self,
        name: str,
        in_channels: int = 3,
        pretrained: bool | str = False,
        output_stride: int = 32,
    ):
        super().__init__()
        if output_stride not in (8, 16, 32):
            raise ValueError(f"{name} has output stride 8, 16 or 32, not {output_stride}")
        net = get_model(name, weights=None)
        if pretrained:
            load_pretrained(net, name, pretrained)
        adapt_first_conv(net, "conv1", in_channels, keep=bool(pretrained))
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu)
        self.pool = net.maxpool
        self.stages = nn.ModuleList([net.layer1, net.layer2, net.layer3, net.layer4])
        self.channels = [net.conv1.out_channels, *(last_width(stage) for stage in self.stages)]
        self.strides = [min(stride, output_stride) for stride in (2, 4, 8, 16, 32)]
        if output_stride <= 16:
            dilate(net.layer4, before=1 if output_stride == 16 else 2, after=32 // output_stride)
        if output_stride == 8:
            dilate(net.layer3, before=1, after=2)

    def forward(self, image: Tensor) -> list[Tensor]:
        features = [self.stem(image)]
        x = self.pool(features[0])
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


def last_width(stage: nn.Sequential) -> int:
    """Channels that leave a stage."""
    block = stage[-1]
    return (block.conv3 if hasattr(block, "conv3") else block.conv2).out_channels


def dilate(stage: nn.Sequential, before: int, after: int) -> None:
    """Take the stride out of a stage and dilate its 3x3 kernels, in place.

    Args:
        stage: Residual blocks, the first of which has stride 2.
        before: Dilation of the kernel that loses its stride.
        after: Dilation of all later ones.
    """
    strided = True
    for conv in (m for m in stage.modules() if isinstance(m, nn.Conv2d)):
        conv.stride = (1, 1)
        if conv.kernel_size == (3, 3):
            dilation = before if strided else after
            conv.dilation = conv.padding = (dilation, dilation)
            strided = False
