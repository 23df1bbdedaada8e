"""What a user should know of a config that is valid: printed once, before training."""

from __future__ import annotations

import inspect

from base.base_model import MODELS


def notices(config: dict, fresh: bool = True) -> list[str]:
    """One sentence for each old or omitted key whose meaning here may surprise.

    Args:
        config: Filled in.
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
    if config["use_synch_bn"]:
        said.append("use_synch_bn changes nothing: batch norm sees one device's images at a time")
    return said
