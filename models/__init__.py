"""Every architecture a config may name; importing this package registers them."""

from base.base_model import MODELS, BaseModel
from models.deeplabv3_plus import DeepLabV3Plus
from models.duc_hdc import DUCHDC
from models.enet import ENet
from models.fcn import FCN
from models.fpn import FPN
from models.gcn import GCN
from models.mean_teacher import MeanTeacher
from models.pspnet import PSPNet
from models.segnet import SegNet
from models.segresnet import SegResNet
from models.unet import UNet
from models.unet2d import UNet2D
from models.upernet import UPerNet
from utils.errors import UserError

__all__ = [
    "DUCHDC",
    "ENet",
    "FCN",
    "FPN",
    "GCN",
    "MODELS",
    "MeanTeacher",
    "BaseModel",
    "DeepLabV3Plus",
    "PSPNet",
    "SegNet",
    "SegResNet",
    "UNet",
    "UNet2D",
    "UPerNet",
    "rebuild",
]


def rebuild(state: dict) -> BaseModel:
    """The model of a checkpoint, with random weights and nothing fetched.

    Raises:
        UserError: If its class is not registered.
    """
    name = state["arch"]["type"]
    if name not in MODELS:
        raise UserError(
            f"the checkpoint's model {name!r} is unknown; --import the package that registers it"
        )
    return MODELS.build(untrained(state["arch"]), out_channels=state["out_channels"])


def untrained(section: dict) -> dict:
    """An arch section whose `pretrained`, at any depth, is false."""
    return {
        key: False
        if key == "pretrained"
        else untrained(value)
        if isinstance(value, dict)
        else value
        for key, value in section.items()
    }
