"""A dry pass of the smallest batch through model and loss, without computing anything."""

from __future__ import annotations

import copy

import torch
from torch import nn

from base.base_dataloader import BaseDataLoader, stack
from base.base_model import BaseModel
from utils.errors import UserError
from utils.losses import WeightedSum


def try_shapes(
    model: BaseModel,
    loader: BaseDataLoader,
    loss: WeightedSum,
    extremes: list[int],
) -> None:
    """Run the shapes of the smallest training batch through a copy of the model on torch's meta
    device.

    Args:
        model: In any mode.
        loader: Of the training data.
        loss: What the model is to be trained with.
        extremes: Indices of samples whose images may be of another size than the first batch's.

    Raises:
        UserError: If the images of a batch differ in size, have other channels than the model
            reads, or leave a norm layer one value per channel; or if an output is missing or of
            another size.
    """
    keys = next(iter(loader.order))
    if len(keys) > 1 and not loader.order.limit:
        keys += [(0, index) for index in extremes]
    batch = stack([loader.dataset[key] for key in keys])
    if isinstance(batch, UserError):
        raise batch
    channel, height, width = batch["image"].shape[1:]
    if channel != model.in_channels:
        raise UserError(
            f"images have {channel} channels, the model reads {model.in_channels}; set "
            f'arch.args.in_channels to {channel}, or the data set\'s "channels"'
        )
    smallest = loader.order.smallest
    twin = copy.deepcopy(model).to("meta").train()
    image = torch.empty(smallest, channel, height, width, device="meta")
    guards = [
        m.register_forward_pre_hook(refuse_single(name, smallest, (height, width)))
        for name, m in twin.named_modules()
        if isinstance(m, NORMS)
    ]
    try:
        outputs = twin(image)
    except (NotImplementedError, RuntimeError) as error:
        if "meta" in str(error):
            return  # an operation that cannot be tried without data
        raise
    finally:
        for guard in guards:
            guard.remove()
    for name, count in loss.heads.items():
        shape = (smallest, count, height, width)
        if name not in outputs:
            raise UserError(
                f"the loss reads the output {name!r}; {type(model).__name__} gives "
                f"{', '.join(outputs)}"
            )
        if tuple(outputs[name].shape) != shape:
            raise UserError(
                f"{type(model).__name__} gives {name!r} as {tuple(outputs[name].shape)}; "
                f"(B, C, H, W) = {shape} is needed"
            )
    loss.check_outputs(outputs)


NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


def refuse_single(name: str, batch: int, size: tuple[int, int]):
    """A hook that refuses a norm layer's input if it has one value per channel in training."""

    def hook(module: nn.Module, inputs: tuple) -> None:
        (x,) = inputs
        per_image = isinstance(module, nn.modules.instancenorm._InstanceNorm)
        values = x[0, 0].numel() * (1 if per_image else x.shape[0])
        if module.training and values == 1:
            raise UserError(
                f"the norm layer {name!r} would see one value per channel in training: a batch of "
                f"{batch} at {size[1]}x{size[0]} shrinks to {x.shape[-1]}x{x.shape[-2]} there; "
                "raise batch_size or crop_size, set drop_last if only the last batch is so small, "
                "or set arch.args.freeze_bn"
            )

    return hook
