"""Schedules against tables, optimizers against the groups they promise."""

from __future__ import annotations

import pytest
import torch

from models import MODELS
from utils.errors import UserError
from utils.optimizers import OPTIMIZERS, make_optimizer
from utils.schedulers import SCHEDULERS


def rates(spec, steps: int, lr: float = 1.0) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    scheduler = SCHEDULERS.build(spec, optimizer=optimizer, total_steps=steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_poly():
    """(1 - t / 4) ^ 0.9 for t = 0 1 2 3."""
    assert rates("Poly", 4) == pytest.approx([1, 0.75**0.9, 0.5**0.9, 0.25**0.9])


def test_poly_floor_and_warmup():
    spec = {"type": "Poly", "args": {"power": 1, "min_lr": 0.3, "warmup_steps": 1}}
    assert rates(spec, 4) == pytest.approx([0.5, 0.75, 0.5, 0.3])


def test_steps_past_the_end_keep_the_floor():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    scheduler = SCHEDULERS.build("Poly", optimizer=optimizer, total_steps=2)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.0


def test_bad_poly():
    with pytest.raises(UserError, match="warmup_steps is 9, but the run has 4 steps"):
        rates({"type": "Poly", "args": {"warmup_steps": 9}}, 4)


def unet():
    return MODELS.build({"type": "UNet", "args": {"backbone": "resnet18"}}, out_channels=2)


def test_differential_lr_is_a_tenth_for_the_encoder():
    section = {"type": "SGD", "args": {"lr": 0.5}, "differential_lr": True}
    groups = {g["name"]: g["lr"] for g in make_optimizer(section, unet()).param_groups}
    assert groups == {"encoder": 0.05, "decoder": 0.5}


def test_norms_and_biases_can_be_spared():
    model = unet()
    section = {
        "type": "AdamW",
        "args": {"lr": 1e-3, "weight_decay": 0.1},
        "decay_norm_and_bias": False,
    }
    groups = make_optimizer(section, model).param_groups
    assert {g["name"]: g["weight_decay"] for g in groups} == {
        "encoder": 0.1,
        "encoder_no_decay": 0.0,
        "decoder": 0.1,
        "decoder_no_decay": 0.0,
    }
    spared = [p for g in groups if g["weight_decay"] == 0 for p in g["params"]]
    assert all(p.ndim == 1 for p in spared)
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_torchs_optimizers_build(name):
    optimizer = make_optimizer({"type": name, "args": {"lr": 0.01}}, unet())
    assert isinstance(optimizer, torch.optim.Optimizer)


def test_torchs_own_refusals_are_users_errors():
    with pytest.raises(UserError, match="Invalid learning rate"):
        make_optimizer({"type": "SGD", "args": {"lr": -1.0}}, unet())
