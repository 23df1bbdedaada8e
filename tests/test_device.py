"""Mixed precision on devices with and without instructions for it."""

import logging

import pytest
import torch

from utils.device import autocast_dtype, tell_of_amp

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
HALF, BRAIN = torch.float16, torch.bfloat16


@pytest.fixture
def machine(monkeypatch, caplog):
    """Put a device's instructions in place of those of this machine."""
    caplog.set_level(logging.INFO, logger="segforge")

    def put(instructions=(), new_gpu=False, mkldnn=True):
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: mkldnn)
        table = dict.fromkeys(instructions, True) | {"avx2": True, "avx512_f": True}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: table)
        monkeypatch.setattr(  # an older GPU emulates bf16
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True: including_emulation or new_gpu,
        )

    return put


@pytest.mark.parametrize(
    ("instructions", "dtype"),
    [((), None), (("avx512_bf16",), BRAIN), (("bf16",), BRAIN), (("avx512_fp16",), None)],
)
def test_true_is_bf16_where_the_cpu_has_it_and_float32_elsewhere(
    instructions, dtype, machine, caplog
):
    machine(instructions)
    assert autocast_dtype(True, CPU) is dtype
    tell_of_amp(True, CPU)
    told = ["trainer.amp: float32, since this CPU has no instructions for bf16"]
    assert caplog.messages == ([] if dtype else told)


@pytest.mark.parametrize(("new_gpu", "dtype"), [(True, BRAIN), (False, HALF)])
def test_true_is_fp16_on_a_gpu_that_emulates_bf16(new_gpu, dtype, machine, caplog):
    machine(new_gpu=new_gpu)
    assert autocast_dtype(True, GPU) is dtype
    tell_of_amp(True, GPU)
    tell_of_amp("fp16", GPU)
    assert not caplog.messages


@pytest.mark.parametrize(("amp", "dtype"), [("bf16", BRAIN), ("fp16", HALF), (False, None)])
def test_a_precision_by_name_is_kept_and_warned_of(amp, dtype, machine, caplog):
    machine()
    assert autocast_dtype(amp, CPU) is dtype
    tell_of_amp(amp, CPU)
    assert [f'is "{amp}", which this CPU emulates' in text for text in caplog.messages] == (
        [True] if amp else []
    )


def test_instructions_that_torch_was_not_built_to_use(machine):
    machine(("bf16",), mkldnn=False)
    assert autocast_dtype(True, CPU) is None


def test_no_warning_where_the_cpu_has_the_instructions(machine, caplog):
    machine(("avx512_bf16", "avx512_fp16"))
    for amp in (True, "bf16", "fp16", False):
        tell_of_amp(amp, CPU)
    assert not caplog.messages
