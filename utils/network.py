"""The model as a training step calls it: compiled, or spread over several devices."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from utils.device import autocast


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

    Args:
        model: On the first device.
        devices: More than one make it `nn.DataParallel`.
        dtype: Of mixed precision; None for float32.
        compile: Compile it with torch.compile.

    Raises:
        ValueError: If it is to be compiled for several devices.
    """
    if len(devices) == 1:
        return torch.compile(model) if compile else model
    if compile:
        raise ValueError(
            f"compile does not go with {len(devices)} devices in one process; set compile to "
            "false, or n_gpu to 1"
        )
    return nn.DataParallel(InPrecision(model, devices[0].type, dtype), devices)
