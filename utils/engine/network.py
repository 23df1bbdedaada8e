"""The model as a step calls it: compiled, spread over devices, or one of several copies."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from utils.device import autocast
from utils.distributed import world_size
from utils.errors import UserError

PLAIN_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class InPrecision(nn.Module):
    """A model that turns on mixed precision itself.

    `nn.DataParallel` runs its replicas in threads, and a thread does not inherit the dtype.
    """

    def __init__(self, model: nn.Module, device_type: str, dtype: torch.dtype | None):
        super().__init__()
        self.model, self.device_type, self.dtype = model, device_type, dtype

    def forward(self, *inputs: Any) -> Any:
        with autocast(torch.device(self.device_type), self.dtype):
            return self.model(*inputs)


def make_network(
    model: nn.Module, devices: list[torch.device], dtype: torch.dtype | None, compile: bool
) -> nn.Module:
    """What a trainer's step runs; its weights are the model's own.

    Where several processes train, their gradients are averaged.

    Args:
        model: On the first device.
        devices: More than one make it `nn.DataParallel`.
        dtype: Of mixed precision; None for float32.
        compile: Compile it with torch.compile.

    Raises:
        ValueError: If it is to be compiled for several devices.
    """
    if len(devices) == 1:
        network = torch.compile(model) if compile else model
        return network if world_size() == 1 else averaged(network, devices[0])
    if compile:
        raise ValueError(
            f"compile does not go with {len(devices)} devices in one process; start it with "
            f"torchrun --nproc_per_node={len(devices)}, or set compile to false or n_gpu to 1"
        )
    return nn.DataParallel(InPrecision(model, devices[0].type, dtype), devices)


def averaged(network: nn.Module, device: torch.device) -> nn.Module:
    """Averages the gradients of every process, also where a head is in no loss."""
    return nn.parallel.DistributedDataParallel(
        network,
        device_ids=[device.index] if device.type == "cuda" else None,
        find_unused_parameters=True,
        gradient_as_bucket_view=True,
    )


def gradients_stay(network: nn.Module, inside: bool) -> AbstractContextManager:
    """Around a step inside an accumulation: each process keeps its gradients to itself."""
    no_sync = getattr(network, "no_sync", None)
    return no_sync() if inside and no_sync is not None else nullcontext()


def with_synch_bn(model: nn.Module, device: torch.device) -> nn.Module:
    """The model with torch's SyncBatchNorm, whose statistics are those of all processes' images.

    Raises:
        UserError: If several processes train on the CPU, or a norm does more than torch's own, as
            timm's with an activation does, which the conversion would drop.
    """
    if world_size() == 1:
        return model
    if device.type != "cuda":
        raise UserError(
            "use_synch_bn: torch's SyncBatchNorm runs on GPUs alone; set it to false, or use a "
            "norm that does not look across the batch"
        )
    for name, part in model.named_modules():
        if isinstance(part, _BatchNorm) and type(part) not in PLAIN_NORMS:
            raise UserError(
                f"use_synch_bn: {name} is a {type(part).__name__}, of which torch's SyncBatchNorm "
                "would keep the norm alone; set it to false, or take a backbone with plain batch "
                "norms, such as one of torchvision's"
            )
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)
