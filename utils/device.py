"""Which device a run uses, and in which precision."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager

import torch

from utils.distributed import local_rank, world_size
from utils.errors import UserError

log = logging.getLogger("segforge")

INSTRUCTIONS = {  # of x86 and of ARM, as torch.cpu.get_capabilities names them
    "bf16": ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"),
    "fp16": ("avx512_fp16", "amx_fp16", "fp16_arith"),
}


def choose_devices(n_gpu: int = 1, wanted: str | None = None) -> list[torch.device]:
    """Devices to train on, the first one leading; where torchrun started several processes, the
    one of this process.

    Args:
        n_gpu: Most GPUs to use; 0 for the CPU. Fewer are used, with a warning, where fewer are
            there.
        wanted: "cpu", or GPU numbers such as "0,1"; strict, and stronger than n_gpu.

    Raises:
        UserError: If `wanted` names a device that is not there, or n_gpu is negative.
    """
    if n_gpu < 0:
        raise UserError(f"n_gpu is {n_gpu}; give the number of GPUs, 0 for the CPU")
    there = torch.cuda.device_count()
    if wanted is not None:
        if wanted == "cpu":
            return [torch.device("cpu")]
        numbers = [part.strip().removeprefix("cuda:") for part in wanted.split(",")]
        bad = [n for n in numbers if not n.isdigit() or int(n) >= there]
        if bad:
            has = (
                f"the GPUs 0 to {there - 1}" if there > 1 else "GPU 0 alone" if there else "no GPU"
            )
            raise UserError(
                f"-d {wanted}: there is no device {bad[0]!r}; this machine has {has}; "
                '"-d cpu" runs on the CPU'
            )
        return own_share([torch.device("cuda", int(n)) for n in dict.fromkeys(numbers)])
    if world_size() > 1:  # as many as processes were started
        n_gpu = there if n_gpu else 0
    if n_gpu > there:
        log.warning(
            "n_gpu is %d, but this machine has %s: running on %s",
            n_gpu,
            f"{there} GPU{'s' * (there != 1)}" if there else "no GPU",
            f"{there}" if there else "the CPU",
        )
    used = min(n_gpu, there)
    return own_share([torch.device("cuda", i) for i in range(used)]) or [torch.device("cpu")]


def own_share(gpus: list[torch.device]) -> list[torch.device]:
    """The one of several processes on this machine, in turn; all of them for a single process."""
    if world_size() == 1 or not gpus:
        return gpus
    own = gpus[local_rank() % len(gpus)]
    torch.cuda.set_device(own)
    return [own]


def autocast_dtype(amp: bool | str, device: torch.device) -> torch.dtype | None:
    """The dtype of `trainer.amp` on a device; None for float32.

    True is the one the device computes itself: bfloat16, else float16 on a GPU and float32 on a
    CPU. Emulated, UNet on a ResNet-18 took 7 times as long as in float32 (AMD Zen 3, torch 2.15).
    """
    if amp is True:
        amp = "bf16" if computes("bf16", device) else "fp16" if device.type == "cuda" else False
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(amp or "")


def tell_of_amp(amp: bool | str, device: torch.device) -> None:
    """Log where `trainer.amp` gives float32, or is emulated."""
    if amp is True and autocast_dtype(amp, device) is None:
        log.info("trainer.amp: float32, since this CPU has no instructions for bf16")
    elif isinstance(amp, str) and not computes(amp, device):
        log.warning(
            'trainer.amp is "%s", which this %s emulates, slower than in float32; '
            "true takes what a device computes itself",
            amp,
            "CPU" if device.type == "cpu" else "GPU",
        )


def computes(amp: str, device: torch.device) -> bool:
    """Whether a device has instructions for "bf16" or "fp16", rather than emulates it."""
    if device.type == "cuda":
        return amp == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)
    if not torch.backends.mkldnn.is_available():  # whose convolutions use the instructions
        return False
    return any(torch.cpu.get_capabilities().get(name, False) for name in INSTRUCTIONS[amp])


def autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager:
    """Mixed precision on a device; float32 where dtype is None."""
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)
