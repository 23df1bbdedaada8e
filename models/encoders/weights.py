"""Pretrained weights for an encoder: from torchvision's cache, the network, or a file."""

from __future__ import annotations

import socket
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from utils.checkpoint import load, tensors
from utils.errors import UserError


def load_pretrained(net: nn.Module, name: str, source: bool | str) -> None:
    """Fill a torchvision classifier with weights, in place.

    Args:
        net: The classifier.
        name: Its torchvision name.
        source: True for torchvision's default weights, or the path of a state dict.

    Raises:
        UserError: If the weights cannot be had or do not fit.
    """
    state = fetch(name) if source is True else tensors(load(Path(source)))
    own = net.state_dict()
    free = ("fc.", "classifier.")  # the classifier is not used
    missing = [
        key
        for key in own
        if key not in state and not key.startswith(free) and "num_batches" not in key
    ]
    wrong = [
        key
        for key in own
        if key in state and state[key].shape != own[key].shape and not key.startswith(free)
    ]
    if missing or wrong:
        raise UserError(
            f"weights {source} do not fit {name}: {len(missing)} of {len(own)} tensors "
            f"missing, {len(wrong)} of another shape, first {(missing + wrong)[0]!r}"
        )
    net.load_state_dict(
        {
            key: state[key] if key in state and state[key].shape == value.shape else value
            for key, value in own.items()
        }
    )


def fetch(name: str) -> dict[str, Tensor]:
    """torchvision's default weights for `name`, from its cache or the network."""
    weights = get_model_weights(name).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)
    try:
        return weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"the pretrained weights of {name} are not at {file} and could not be fetched "
            f'({error}); set "pretrained" to false, or to the path of a weights file you have'
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def adapt_first_conv(net: nn.Module, in_channels: int, keep: bool) -> None:
    """Replace the first convolution by one that reads `in_channels`, in place.

    Kept weights repeat over the new channels, each divided by how often it comes; fewer channels
    share the sum. So an image whose channels are equal gives the response it gave before.

    Args:
        net: Holds the convolution.
        in_channels: Channels of the image.
        keep: Carry the weights over; otherwise the new convolution starts random.
    """
    path, old = next((n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d))
    if in_channels == old.in_channels:
        return
    new = nn.Conv2d(
        in_channels,
        old.out_channels,
        old.kernel_size,
        old.stride,
        old.padding,
        bias=old.bias is not None,
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if new.bias is not None:
        new.bias = old.bias
    if keep:
        with torch.no_grad():
            new.weight.copy_(spread(old.weight, in_channels))
    parent, _, name = path.rpartition(".")
    setattr(net.get_submodule(parent), name, new)


def spread(weight: Tensor, in_channels: int) -> Tensor:
    """A first convolution's weight (O, C, kH, kW) for another number of input channels."""
    before = weight.shape[1]
    if in_channels == before:
        return weight
    if in_channels < before:
        return weight.sum(1, keepdim=True).repeat(1, in_channels, 1, 1) / in_channels
    source = torch.arange(in_channels) % before
    return weight[:, source] / source.bincount()[source].view(1, -1, 1, 1)
