"""What a user should know of a config that is valid: printed once, before training."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch

from base.base_model import MODELS
from utils.distributed import world_size


def notices(config: dict, devices: Sequence[torch.device], fresh: bool = True) -> list[str]:
    """One sentence for each old or omitted key whose meaning here may surprise.

    Args:
        config: Filled in.
        devices: What it will run on.
        fresh: Whether the model starts anew, not from a checkpoint.
    """
    said = []
    arch = config["arch"]
    takes = inspect.signature(MODELS[arch["type"]]).parameters
    untold = fresh and not config["init_from"]
    default = takes["backbone"].default if "backbone" in takes else None
    on_backbone = arch["args"].get("backbone", default) is not None
    if untold and on_backbone and "pretrained" in takes and "pretrained" not in arch["args"]:
        said.append("arch.args.pretrained is not set: the backbone starts from random weights")
    if "crop_size" in (config["val_loader"] or {}).get("args", {}):
        said.append(
            "val_loader.args.crop_size is not used for scores: validation predicts at the "
            "labels' size"
        )
    if config["use_synch_bn"] and world_size() == 1:
        said.append("use_synch_bn changes nothing: one process sees all images of a batch")
    if config["trainer"]["overfit_batches"] and config["val_loader"]:
        said.append(
            "overfit_batches: the training loss is of the batches that are learnt by heart, scores "
            "are of as many batches of val_loader"
        )
    if len(devices) > 1:
        said.append(
            f"{len(devices)} GPUs in one process run torch.nn.DataParallel; "
            f"torchrun --nproc_per_node={len(devices)} train.py ... is faster"
        )
    return said
