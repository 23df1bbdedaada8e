"""Every architecture a config may name; importing this package registers them."""

from base.base_model import MODELS, BaseModel
from models.enet import ENet
from models.unet import UNet
from utils.errors import UserError

__all__ = ["MODELS", "BaseModel", "ENet", "UNet", "rebuild"]


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
