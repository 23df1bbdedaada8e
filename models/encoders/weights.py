"""Pretrained weights for an encoder: from torchvision's cache, the network, or a file."""

from __future__ import annotations

import socket
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from utils.checkpoint import load, load_weights, tensors
from utils.errors import UserError


def read_weights(name: str, source: bool | str) -> dict[str, Tensor]:
    """torchvision's default weights for `name` where `source` is true, else those in a file.

    Raises:
        UserError: If they cannot be had, or the file has none.
    """
    return fetch(name) if source is True else weights_in(source)


def weights_in(file: str) -> dict[str, Tensor]:
    """The weights in a file, at least one.

    Raises:
        UserError: If it cannot be read or has none.
    """
    state = tensors(load(Path(file)))
    if not state:
        raise UserError(
            f'{file} holds no weights; set "pretrained" to a file that does, or to false'
        )
    return state


def load_classifier(
    net: nn.Module, name: str, state: dict[str, Tensor], source: bool | str
) -> None:
    """Fill a torchvision classifier with weights, in place, its first convolution by `adapted`.

    Args:
        net: The classifier.
        name: Its torchvision name.
        state: The weights.
        source: Where they come from.

    Raises:
        UserError: If they do not fit; the last layers, which are not used, need not.
    """
    state, own = adapted(state, net), net.state_dict()
    free = ("fc.", "classifier.")
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


def load_encoder(encoder: nn.Module, state: dict[str, Tensor], source: bool | str) -> None:
    """Fill an encoder with the state dict of one like it, its first convolution by `adapted`.

    Raises:
        UserError: If it does not fit.
    """
    load_weights(encoder, adapted(state, encoder), source)


def of_encoder(state: dict[str, Tensor]) -> bool:
    """Whether weights are those of an encoder of ours, and not of a classifier."""
    return any(name.startswith("stages.") for name in state)


def adapted(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """The same weights, the first convolution's spread over the channels that the net reads."""
    path, conv = first_conv(net)
    weight = state.get(f"{path}.weight")
    if weight is None or weight.ndim != conv.weight.ndim:
        return state
    return state | {f"{path}.weight": spread(weight, conv.in_channels)}


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


def first_conv(net: nn.Module) -> tuple[str, nn.Conv2d]:
    """The convolution that reads the image, with its name."""
    return next((n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d))


def adapt_first_conv(net: nn.Module, in_channels: int) -> None:
    """Replace the first convolution by one that reads `in_channels` and starts random, in place.

    Args:
        net: Holds the convolution.
        in_channels: Channels of the image.
    """
    path, old = first_conv(net)
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
    parent, _, name = path.rpartition(".")
    setattr(net.get_submodule(parent), name, new)


def spread(weight: Tensor, in_channels: int) -> Tensor:
    """A first convolution's weight (O, C, kH, kW) for another number of input channels.

    Weights repeat over the new channels, each divided by how often it comes; fewer channels share
    the sum. So an image whose channels are equal gives the response it gave before.
    """
    before = weight.shape[1]
    if in_channels == before:
        return weight
    if in_channels < before:
        return weight.sum(1, keepdim=True).repeat(1, in_channels, 1, 1) / in_channels
    source = torch.arange(in_channels) % before
    return weight[:, source] / source.bincount()[source].view(1, -1, 1, 1)
