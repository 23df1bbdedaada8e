"""torchvision's classification networks as layers of an encoder.

ResNet (arXiv:1512.03385), ResNeXt (1611.05431), Wide ResNet (1605.07146), VGG (1409.1556),
DenseNet (1608.06993), MobileNetV2 (1801.04381) and V3 (1905.02244), EfficientNet (1905.11946) and
V2 (2104.00298), ConvNeXt (2201.03545).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from torch import nn
from torchvision.models import get_model

from models.encoders.encoder import Encoder
from models.encoders.weights import (
    adapt_first_conv,
    load_classifier,
    load_encoder,
    of_encoder,
    read_weights,
)

Layers = Iterator[tuple[str, nn.Module]]


def resnet_layers(net: nn.Module) -> Layers:
    """All but the pooling and the classifier at the end."""
    return ((name, layer) for name, layer in net.named_children() if name not in ("avgpool", "fc"))


def feature_layers(net: nn.Module) -> Layers:
    """`features` whole: VGG, MobileNetV3 and ConvNeXt."""
    return net.features.named_children()


def narrow_layers(net: nn.Module) -> Layers:
    """`features` without the last 1x1 convolution, which widens for the classifier."""
    return iter(list(net.features.named_children())[:-1])


def densenet_layers(net: nn.Module) -> Layers:
    """`features` with each transition opened, so that a feature leaves normalised and rectified."""
    for name, layer in net.features.named_children():
        if name.startswith("transition"):
            yield f"{name}_norm", nn.Sequential(layer.norm, layer.relu)
            yield f"{name}_pool", nn.Sequential(layer.conv, layer.pool)
        else:
            yield name, layer
    yield "relu5", nn.ReLU()


RESNETS = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"),
    *("wide_resnet50_2", "wide_resnet101_2"),
)
VGGS = ("vgg13", "vgg16", "vgg19", "vgg13_bn", "vgg16_bn", "vgg19_bn")

ALIASES = {  # what pytorch-segmentation and the Cityscapes/KITTI project call them
    "resnext50": "resnext50_32x4d",
    "resnext101": "resnext101_32x8d",
    "wide_resnet50": "wide_resnet50_2",
    "wide_resnet101": "wide_resnet101_2",
}

# for models that need a certain family
ResNet, VGG = Literal[(*RESNETS, *ALIASES)], Literal[VGGS]

FAMILIES: dict[Callable[[nn.Module], Layers], tuple[str, ...]] = {
    resnet_layers: RESNETS,
    feature_layers: (
        *VGGS,
        *("mobilenet_v3_small", "mobilenet_v3_large"),
        *("convnext_tiny", "convnext_small", "convnext_base", "convnext_large"),
    ),
    narrow_layers: (
        "mobilenet_v2",
        *(f"efficientnet_b{size}" for size in range(8)),
        *("efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l"),
    ),
    densenet_layers: ("densenet121", "densenet161", "densenet169", "densenet201"),
}

LAYERS = {name: layers for layers, names in FAMILIES.items() for name in names}


def torchvision_encoder(
    name: str, in_channels: int = 3, pretrained: bool | str = False, output_stride: int = 32
) -> Encoder:
    """An encoder of the torchvision network `name`.

    Args:
        name: One of `LAYERS`.
        in_channels: Channels of the image.
        pretrained: True for torchvision's ImageNet weights, or the path of a weights file: of the
            network, or of this encoder.
        output_stride: Stride of the deepest map, in pixels: 8, 16 or 32.

    Raises:
        ValueError: If the network has no such output stride.
        UserError: If the weights cannot be had or do not fit.
    """
    net = get_model(name, weights=None)
    adapt_first_conv(net, in_channels)
    state = read_weights(name, pretrained) if pretrained else {}
    if pretrained and not of_encoder(state):
        load_classifier(net, name, state, pretrained)
    encoder = Encoder(LAYERS[name](net), in_channels, output_stride)
    if of_encoder(state):
        load_encoder(encoder, state, pretrained)
    return encoder
