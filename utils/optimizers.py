"""torch's optimizers by name, over a model's parameter groups."""

from __future__ import annotations

import inspect
import logging

import torch
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer

from base.base_model import BaseModel
from utils.errors import UserError
from utils.registry import Registry


def optimizer_options(
    differential_lr: bool = False,
    decay_norm_and_bias: bool = True,
    layer_decay: float | None = None,
) -> None:
    """How the parameters are grouped.

    Args:
        differential_lr: Train the encoder at a tenth of the learning rate.
        decay_norm_and_bias: Apply weight decay to norms and biases too, as torch does.
        layer_decay: Train the encoder's deepest stage at this share of the learning rate, the one
            before it at its square, and so on; above 0, at most 1. In place of differential_lr.
    """


log = logging.getLogger("segforge")

OPTIMIZERS = Registry("optimizer", supplied=("params",), beside=optimizer_options)

# LBFGS steps through a closure, SparseAdam and Muon take none but sparse or 2-D parameters
UNFIT = (Optimizer, torch.optim.LBFGS, torch.optim.SparseAdam, getattr(torch.optim, "Muon", None))

FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)  # on GPUs

HUGE = 1e30  # Adam's first update divides the rate by 0.1, and float32 ends at 3.4e38

for _, cls in inspect.getmembers(torch.optim, inspect.isclass):
    if issubclass(cls, Optimizer) and cls not in UNFIT:
        OPTIMIZERS.register(cls)


def make_optimizer(section: dict, model: BaseModel) -> Optimizer:
    """Build the optimizer a config describes.

    Args:
        section: `{"type", "args"}` and any of `optimizer_options`.
        model: Every trainable parameter of it lands in exactly one group, named "encoder" or
            "decoder", or "encoder_stage1" and so on under a layer_decay, with "_no_decay" behind
            for norms and biases that are spared.

    Raises:
        UserError: If an argument is refused or beyond float32, or the encoder has no stages for a
            layer_decay.
    """
    check_options(section)
    groups = model.parameter_groups()
    if section.get("layer_decay") is not None and groups.get("encoder"):
        groups = split_stages(model, groups)
    rates = encoder_rates(section, groups, type(model).__name__)
    if not section.get("decay_norm_and_bias", True):
        groups = split_decay(model, groups)
    listed = []
    for name, parameters in groups.items():
        if not parameters:
            continue
        group = {"params": parameters, "name": name}
        if (rate := rates.get(name.removesuffix("_no_decay"))) is not None:
            group["lr"] = rate
        if name.endswith("_no_decay"):
            group["weight_decay"] = 0.0
        listed.append(group)
    try:
        args = section.get("args", {})
        on = {parameter.device.type for group in groups.values() for parameter in group}
        spec = {"type": section["type"], "args": fused(OPTIMIZERS[section["type"]], args, on)}
        optimizer = OPTIMIZERS.build(spec, params=listed)
    except RuntimeError as error:  # arguments that exclude each other
        raise UserError(f"optimizer {section['type']}: {error}") from error
    refuse_huge(section["type"], optimizer)
    return optimizer


def refuse_huge(name: str, optimizer: Optimizer) -> None:
    """Refuse settings of which an update would make numbers beyond float32."""
    for group in optimizer.param_groups:
        for key, value in group.items():
            if isinstance(value, float) and abs(value) > HUGE:
                raise UserError(
                    f"optimizer {name}: {key} is {value:g}, which is too large to compute with; "
                    f"at most {HUGE:g}"
                )


def fused(cls: type[Optimizer], args: dict, devices: set[str]) -> dict:
    """The arguments, with one kernel for all weights where torch has it and nothing speaks against
    it."""
    chosen = {"fused", "foreach", "differentiable"} & args.keys()
    if cls not in FUSED or devices != {"cuda"} or chosen:
        return args
    return {**args, "fused": True}


def default_lr(section: dict) -> float:
    return inspect.signature(OPTIMIZERS[section["type"]]).parameters["lr"].default


def check_options(section: dict) -> None:
    """Refuse options that exclude each other, or are out of range."""
    factor = section.get("layer_decay")
    if factor is not None and not 0 < factor <= 1:
        raise UserError(f"optimizer.layer_decay is {factor}; it goes from above 0 to 1")
    if factor is not None and section.get("differential_lr"):
        raise UserError("optimizer: differential_lr and layer_decay exclude each other; give one")


def encoder_rates(section: dict, groups: dict[str, list], model: str) -> dict[str, float]:
    """The learning rate of each of the encoder's groups, if it has one of its own."""
    tenth, factor = section.get("differential_lr"), section.get("layer_decay")
    if not tenth and factor is None:
        return {}
    encoder = [n for n in groups if n.startswith("encoder") and groups[n]]  # the first stage first
    if not encoder:
        option = "differential_lr" if tenth else "layer_decay"
        log.warning("%s changes nothing: %s trains no encoder", option, model)
    rate = section.get("args", {}).get("lr")
    rate = default_lr(section) if rate is None else rate
    if tenth:
        return dict.fromkeys(encoder, rate / 10)
    return {name: rate * factor**depth for depth, name in enumerate(reversed(encoder), 1)}


def split_stages(model: BaseModel, groups: dict[str, list]) -> dict[str, list]:
    """Divide the encoder's group into its stages; what is in none goes with the first."""
    stages = getattr(model.encoder, "stages", None)
    if stages is None:
        kind = type(model.encoder).__name__
        raise UserError(
            f"optimizer.layer_decay needs an encoder with stages, and {kind} has none; use "
            "differential_lr in its place"
        )
    split: dict[str, list] = {f"encoder_stage{number + 1}": [] for number in range(len(stages))}
    place = {
        id(p): name for name, stage in zip(split, stages, strict=True) for p in stage.parameters()
    }
    for parameter in groups["encoder"]:
        split[place.get(id(parameter), "encoder_stage1")].append(parameter)
    return {**split, "decoder": groups["decoder"]}


def split_decay(model: BaseModel, groups: dict[str, list]) -> dict[str, list]:
    """Divide each group into weights, which decay, and norms and biases, which do not."""
    norms = (_NormBase, torch.nn.GroupNorm, torch.nn.LayerNorm)
    spared = {
        id(p)
        for m in model.modules()
        for key, p in m.named_parameters(recurse=False)
        if isinstance(m, norms) or key == "bias"
    }
    split = {}
    for name, parameters in groups.items():
        split[name] = [p for p in parameters if id(p) not in spared]
        split[f"{name}_no_decay"] = [p for p in parameters if id(p) in spared]
    return split
