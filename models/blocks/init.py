"""One weight initialisation for everything that is not pretrained."""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


def initialize(module: nn.Module) -> None:
    """He-normal convolutions (fan out), unit norms, zero biases, in place."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, _NormBase | nn.GroupNorm) and part.weight is not None:
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
