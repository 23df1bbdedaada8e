"""The mean teacher: what moves it, what does not, and its trainer."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from test_engine import CPU, Killed, Small, build
from test_train import newest_run, same, train_run, write
from torch import nn

import train
from models import MODELS
from models.mean_teacher import MeanTeacher
from trainer import TRAINERS
from utils import checkpoint
from utils.config import read_config
from utils.errors import UserError
from utils.optimizers import make_optimizer

IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
SMALL = {"type": "Small", "args": {"norm": True}}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(MODELS._classes, "Small", Small)


@pytest.fixture
def two_views(tiny, monkeypatch) -> dict:
    """A config that trains a mean teacher; the second view is a darker first."""
    step = TRAINERS["MeanTeacherTrainer"].step

    def with_second_view(self, batch):
        return step(self, batch | {"image2": 0.9 * batch["image"]})

    monkeypatch.setattr(TRAINERS["MeanTeacherTrainer"], "step", with_second_view)
    arch = {"type": "MeanTeacher", "args": {"model": SMALL, "momentum": 0.9}}
    tiny["trainer"]["type"] = "MeanTeacherTrainer"
    return tiny | {"arch": arch, "n_gpu": 0}


def mean_teacher(momentum: float = 0.9, **args) -> MeanTeacher:
    torch.manual_seed(0)
    section = {"type": "Small", "args": {"norm": True, **args}}
    spec = {"type": "MeanTeacher", "args": {"model": section, "momentum": momentum}}
    return MODELS.build(spec, out_channels=4)


def state(part: nn.Module) -> dict:
    return copy.deepcopy(part.state_dict())


def test_the_teacher_starts_as_the_student():
    model = mean_teacher().eval()
    assert same(state(model.student), state(model.teacher))
    outputs = model(IMAGE)
    assert torch.equal(outputs["out"], outputs["teacher"])


def test_an_update_averages_parameters_and_copies_buffers():
    model = mean_teacher(momentum=0.75).train()
    before = state(model.teacher)
    model(IMAGE, IMAGE + 1)  # moves the running statistics, each network's by its own view
    assert not same(dict(model.teacher.named_buffers()), dict(model.student.named_buffers()))
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.add_(1)
    model.update_teacher()
    moved = [name for name, _ in model.student.named_parameters()]
    for name, value in model.teacher.state_dict().items():
        if name in moved:
            torch.testing.assert_close(value, before[name] + 0.25)
        else:
            assert torch.equal(value, model.student.state_dict()[name])


def test_nothing_but_an_update_moves_it():
    """SPOCO's published network moved it in every forward pass, prediction's too."""
    model = mean_teacher()
    parameters = copy.deepcopy(dict(model.teacher.named_parameters()))
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.add_(1)
    model.eval()(IMAGE)
    model.train()(IMAGE)["out"].sum().backward()
    assert same(dict(model.teacher.named_parameters()), parameters)
    assert all(p.grad is None for p in model.teacher.parameters())


def test_each_network_sees_its_view():
    model = mean_teacher().train()
    other = IMAGE.flip(0) + 1
    alone = copy.deepcopy(model)
    outputs = model(IMAGE, other)
    torch.testing.assert_close(outputs["out"], alone.student(IMAGE)["out"])
    torch.testing.assert_close(outputs["teacher"], alone.teacher(other)["out"])
    assert not outputs["teacher"].requires_grad and outputs["out"].requires_grad


def test_it_stands_for_its_student():
    section = {"type": "UNet", "args": {"backbone": "resnet18", "in_channels": 5}}
    spec = {"type": "MeanTeacher", "args": {"model": section}}
    model = MODELS.build(spec, out_channels=3)
    assert (model.stride, model.in_channels) == (model.student.stride, 5)
    assert model.encoder is model.student.encoder
    groups = make_optimizer(
        {"type": "SGD", "args": {"lr": 1.0}, "layer_decay": 0.5}, model
    ).param_groups
    held = {id(p) for group in groups for p in group["params"]}
    assert held == {id(p) for p in model.student.parameters()}
    model.freeze(backbone=True, bn=True)
    assert model.parameter_groups()["encoder"] == []
    frozen = [m for m in model.train().modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(m.training for m in frozen) and not model.teacher.encoder.training


def test_momentum_out_of_range():
    with pytest.raises(UserError, match="momentum is 1.0; it goes from 0 to just below 1"):
        mean_teacher(momentum=1.0)


def test_the_inner_section_is_checked(two_views, tmp_path):
    two_views["arch"]["args"]["model"] = {"type": "ENet", "args": {"in_chanels": 3}}
    with pytest.raises(UserError, match="arch.args.model.args: unknown key 'in_chanels'; did you"):
        read_config(write(two_views, tmp_path / "c.json"))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_one_update_of_the_teacher_an_optimizer_step(two_views, tmp_path, monkeypatch, accumulate):
    """Two epochs of three batches: six steps, or two an epoch; validation between moves nothing."""
    calls = []
    update = MeanTeacher.update_teacher
    monkeypatch.setattr(MeanTeacher, "update_teacher", lambda self: calls.append(update(self)))
    two_views["trainer"] |= {"accumulate": accumulate}
    train_run(two_views, tmp_path)
    assert len(calls) == (6 if accumulate == 1 else 4)


def test_the_teacher_follows_the_students_path(two_views, tmp_path, monkeypatch):
    """After each update: 0.9 of itself and 0.1 of the student, from the first on."""
    weights = []
    update = MeanTeacher.update_teacher

    def noting(self):
        before = self.teacher.hidden.weight.clone()
        update(self)
        expected = 0.9 * before + 0.1 * self.student.hidden.weight
        weights.append(torch.allclose(self.teacher.hidden.weight, expected, atol=1e-7))

    monkeypatch.setattr(MeanTeacher, "update_teacher", noting)
    run = train_run(two_views, tmp_path)
    assert weights == [True] * 6
    saved = checkpoint.load(run / "last.pth")["state_dict"]
    assert not torch.equal(saved["teacher.hidden.weight"], saved["student.hidden.weight"])


def killed_and_resumed(config: dict, tmp_path: Path, monkeypatch, at: int) -> Path:
    """Die as iteration `at` begins, and go on from last.pth in the same folder."""
    step = TRAINERS["MeanTeacherTrainer"].step

    def dying(self, batch):
        if self.iteration + 1 == at:
            raise Killed
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(TRAINERS["MeanTeacherTrainer"], "step", dying)
        with pytest.raises(Killed):
            train_run(config, tmp_path)
    run = newest_run(config)
    assert 0 < checkpoint.load(run / "last.pth")["iteration"] < at
    train.main(train.parse(["-r", str(run / "last.pth")]))
    return run


def refuse_difference(one: Path, other: Path) -> None:
    """Compare the last checkpoints of two runs to the bit."""
    states = [checkpoint.load(run / "last.pth") for run in (one, other)]
    for key in ("state_dict", "optimizer", "lr_scheduler", "scaler", "ema", "rng", "report"):
        assert same(states[0][key], states[1][key]), key


@pytest.mark.parametrize(
    "switches",
    [{}, {"accumulate": 2, "ema_decay": 0.9}, {"amp": "bf16"}, {"amp": "fp16"}],
    ids=str,
)
def test_a_resumed_run_equals_the_unbroken_one(two_views, tmp_path, monkeypatch, switches):
    two_views["trainer"] |= {"deterministic": True, "save_every_iterations": 2, **switches}
    whole = train_run(two_views, tmp_path)
    two_views["name"] = "broken"
    refuse_difference(whole, killed_and_resumed(two_views, tmp_path, monkeypatch, at=6))


def test_the_trainer_gives_each_network_its_view(two_views, tmp_path, monkeypatch):
    seen = []
    forward = MeanTeacher.forward
    monkeypatch.setattr(
        MeanTeacher, "forward", lambda self, *views: (seen.append(views), forward(self, *views))[1]
    )
    build(two_views, tmp_path, [CPU]).try_step()
    image, second_view = seen[-1]
    assert torch.equal(second_view, 0.9 * image)


class InPieces(nn.Module):
    """Runs a model on one image after the other, as nn.DataParallel shares them out."""

    def __init__(self, module: nn.Module, _: list):
        super().__init__()
        self.module = module

    def forward(self, *inputs):
        parts = [self.module(*one) for one in zip(*(x.split(1) for x in inputs), strict=True)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def test_both_views_are_shared_out(two_views, tmp_path, monkeypatch):
    """As replicas on several devices, or processes, get them: through one call of the network."""
    monkeypatch.setattr(nn, "DataParallel", InPieces)
    two_views["arch"]["args"]["model"] = {"type": "Small", "args": {}}  # no norm: images are apart
    whole, shared = (build(two_views, tmp_path, devices) for devices in ([CPU], [CPU, CPU]))
    for trainer in (whole, shared):
        trainer.try_step()
    for a, b in zip(whole.model.parameters(), shared.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_one_view_is_refused(tiny, tmp_path):
    tiny["arch"] = {"type": "MeanTeacher", "args": {"model": SMALL}}
    tiny["trainer"]["type"] = "MeanTeacherTrainer"
    trainer = build(tiny | {"n_gpu": 0}, tmp_path, [CPU])
    with pytest.raises(UserError, match=r"has one; add \{\"type\": \"SecondView\"\} to"):
        trainer.try_step()


def test_a_model_without_a_teacher_is_refused(two_views, tmp_path):
    trainer = build(two_views | {"arch": SMALL}, tmp_path, [CPU])
    with pytest.raises(UserError, match="needs a teacher, which Small has not; put it into"):
        trainer.try_step()


def test_a_trainer_that_would_leave_the_teacher_behind_is_refused(two_views, tmp_path):
    two_views["trainer"]["type"] = "Trainer"
    trainer = build(two_views, tmp_path, [CPU])
    with pytest.raises(UserError, match='never move the teacher.*"MeanTeacherTrainer"'):
        trainer.try_step()
