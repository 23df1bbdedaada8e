"""The size and cost of a model, counted on the meta device: nothing is computed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from base.base_model import BaseModel


@dataclass
class Block:
    """One module within a model.

    Attributes:
        name: Its place in the model.
        shape: Of what it gives, without the batch; empty where that is no single map.
        parameters: Of it and all within, each counted once.
        macs: Multiply-adds of its convolutions and matrix products.
        activations: Bytes that the layers within give, results of functions between them left out.
    """

    name: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    activations: int


@dataclass
class ModelSize:
    """A model's figures for one image in float32.

    Attributes:
        blocks: Its modules down to the depth asked for, in the model's order.
        stored: Parameters, each counted once.
        executed: The model's own and those of layers that ran; fewer where some speak in training
            only, such as auxiliary heads.
        macs: Multiply-adds of convolutions and matrix products.
        activations: Bytes that all layers give. A layer whose result lies where its input did, such
            as an in-place ReLU or dropout in eval mode, gives none; results of functions between
            layers, such as cat and interpolate, are left out.
        stride: Of the deepest map, in pixels.
        receptive_field: Side in pixels of what one value of c5 sees; None without an encoder
            whose layers are known.
    """

    blocks: list[Block]
    stored: int
    executed: int
    macs: int
    activations: int
    stride: int
    receptive_field: int | None


def model_size(model: BaseModel, size: tuple[int, int, int], depth: int = 2) -> ModelSize:
    """Run an image of `size` (C, H, W) through a model that lies on the meta device, in eval mode.

    Args:
        model: Built under `torch.device("meta")`.
        size: Channels, height and width of the image.
        depth: Levels of modules to list.
    """
    modules = {name: m for name, m in model.named_modules() if name}
    shapes: dict[str, tuple[int, ...]] = {}
    bytes_of: dict[str, int] = {}

    def recorder(name: str):
        def hook(module: nn.Module, inputs: tuple, output: object) -> None:
            one = isinstance(output, torch.Tensor)
            shapes[name] = tuple(output.shape[1:]) if one else ()
            if not any(module.children()):
                kept = {storage(given) for given in tensors_of(inputs)}
                bytes_of[name] = bytes_of.get(name, 0) + sum(
                    given.numel() * given.element_size()
                    for given in tensors_of(output)
                    if storage(given) not in kept
                )

        return hook

    hooks = [m.register_forward_hook(recorder(name)) for name, m in modules.items()]
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model.eval()(torch.empty(1, *size, device="meta"))
    for hook in hooks:
        hook.remove()

    root = type(model).__name__
    called = {
        name.removeprefix(f"{root}."): sum(counts.values()) // 2
        for name, counts in counter.get_flop_counts().items()
    }

    def macs(name: str) -> int:
        """Of a module that is called; of its children where they are called one by one."""
        children = (macs(f"{name}.{child}") for child, _ in modules[name].named_children())
        return max(called.get(name, 0), sum(children))

    blocks = [
        Block(
            name,
            shapes.get(name, ()),
            count(module.parameters()),
            macs(name),
            sum(b for key, b in bytes_of.items() if f"{key}.".startswith(f"{name}.")),
        )
        for name, module in modules.items()
        if name.count(".") < depth
    ]
    return ModelSize(
        blocks,
        stored=count(model.parameters()),
        executed=count(
            p
            for part in (model, *(modules[name] for name in shapes))
            for p in part.parameters(recurse=False)
        ),
        macs=counter.get_total_flops() // 2,
        activations=sum(bytes_of.values()),
        stride=model.stride,
        receptive_field=receptive_field(getattr(model, "encoder", None)),
    )


def tensors_of(values: object) -> list[torch.Tensor]:
    """The tensors among what a layer takes or gives."""
    several = values if isinstance(values, tuple) else (values,)
    return [value for value in several if isinstance(value, torch.Tensor)]


def storage(value: torch.Tensor) -> int:
    """Which memory a tensor lies in."""
    return value.untyped_storage()._cdata


def count(parameters: Iterable[nn.Parameter]) -> int:
    """Numbers in parameters, a shared one counted once."""
    return sum({id(p): p.numel() for p in parameters}.values())


def receptive_field(encoder: nn.Module | None) -> int | None:
    """Side of what one value of an encoder's deepest map sees, from its kernels, in pixels.

    Each kernel adds (k - 1) * dilation * the stride before it, along the longest path. Squeeze and
    excitation, which sees the whole image, is left out; None where kernels are not square.
    """
    stages = getattr(encoder, "stages", None)
    if stages is None:
        return None
    side, before = 1, 1
    for stage, stride in zip(stages, encoder.strides, strict=True):
        jump = before
        for layer in stage.modules():
            if not isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
                continue
            if isinstance(layer.kernel_size, tuple) and len(set(layer.kernel_size)) > 1:
                return None  # lines side by side: the longest path is not the sum
            dilation = side_of(getattr(layer, "dilation", 1))
            side += (side_of(layer.kernel_size) - 1) * dilation * jump
            if side_of(layer.stride) > 1:
                jump = stride
        before = stride
    return side


def side_of(value: int | tuple[int, int]) -> int:
    """A kernel's size, stride or dilation along the height."""
    return value if isinstance(value, int) else value[0]
