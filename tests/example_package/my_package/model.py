"""A model: an image in, a dict of maps of the image's size out."""

from torch import Tensor, nn

from models import MODELS, BaseModel
from models.blocks.heads import Heads


@MODELS.register
class TinyNet(BaseModel):
    """Dilated convolutions at half of the image's size.

    Args:
        out_channels: Channels of the output, or of each named output; the program passes it.
        width: Channels inside.
        in_channels: Channels of the image.
    """

    stride = 2

    def __init__(self, out_channels: int | dict[str, int], width: int = 16, in_channels: int = 3):
        super().__init__()
        self.in_channels = in_channels
        layers = [nn.Conv2d(in_channels, width, 3, stride=2, padding=1)]
        for dilation in (1, 2, 4, 8):
            layers += [
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation),
            ]
        self.features = nn.Sequential(*layers)
        self.head = Heads(width, out_channels)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return self.head(self.features(image), image.shape[-2:])
