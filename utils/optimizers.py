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


def optimizer_options(differential_lr: bool = False, decay_norm_and_bias: bool = True) -> None:
    """How the parameters are grouped.

    Args:
        differential_lr: Train the encoder at a tenth of the learning rate.
        decay_norm_and_bias: Apply weight decay to norms and biases too, as torch does.
    """


log = logging.getLogger("segforge")

OPTIMIZERS = Registry("optimizer", supplied=("params",), beside=optimizer_options)

# LBFGS steps through a closure, SparseAdam and Muon take none but sparse or 2-D parameters
UNFIT = (Optimizer, torch.optim.LBFGS, torch.optim.SparseAdam, getattr(torch.optim, "Muon", None))

for _, cls in inspect.getmembers(torch.optim, inspect.isclass):
    if issubclass(cls, Optimizer) and cls not in UNFIT:
        OPTIMIZERS.register(cls)


def make_optimizer(section: dict, model: BaseModel) -> Optimizer:
    """Build the optimizer a config describes.

    Args:
        section: `{"type", "args", "differential_lr", "decay_norm_and_bias"}`.
        model: Every trainable parameter of it lands in exactly one group, named "encoder" or
            "decoder", with "_no_decay" behind for norms and biases that are spared.
    """
    groups = model.parameter_groups()
    if section.get("differential_lr") and not groups.get("encoder"):
        log.warning("differential_lr changes nothing: %s trains no encoder", type(model).__name__)
    if not section.get("decay_norm_and_bias", True):
        groups = split_decay(model, groups)
    rate = section.get("args", {}).get("lr")
    listed = []
    for name, parameters in groups.items():
        if not parameters:
            continue
        group = {"params": parameters, "name": name}
        if section.get("differential_lr") and name.startswith("encoder"):
            group["lr"] = (rate if rate is not None else default_lr(section)) / 10
        if name.endswith("_no_decay"):
            group["weight_decay"] = 0.0
        listed.append(group)
    try:
        spec = {"type": section["type"], "args": section.get("args", {})}
        return OPTIMIZERS.build(spec, params=listed)
    except RuntimeError as error:  # arguments that exclude each other
        raise UserError(f"optimizer {section['type']}: {error}") from error


def default_lr(section: dict) -> float:
    return inspect.signature(OPTIMIZERS[section["type"]]).parameters["lr"].default


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
