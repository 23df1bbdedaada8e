"""Schedules against tables, optimizers against the groups they promise."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import pytest
import torch
from conftest import TINY
from test_train import newest_run, rows, same, stop_at, train_run, write
from torch.optim import lr_scheduler

import train
from models import MODELS
from tools import plot_schedule
from utils import checkpoint
from utils.command import run
from utils.errors import UserError
from utils.interrupt import Interrupted
from utils.optimizers import OPTIMIZERS, fused, make_optimizer
from utils.schedulers import SCHEDULERS

ROOT = Path(__file__).parent.parent
STEPS = 12

# what each needs beside its defaults to change its rate within 12 steps, 3 an epoch
MINIMAL = {
    "CosineAnnealingLR": {"T_max": 5},
    "CosineAnnealingWarmRestarts": {"T_0": 3, "T_mult": 2},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 0.7, "step_size_up": 3},
    "ExponentialLR": {"gamma": 0.9},
    "MultiStep": {"milestones": [0.25, 0.6]},
    "MultiStepLR": {"milestones": [2, 5]},
    "OneCycleLR": {"max_lr": 0.3},
    "Plateau": {"factor": 0.3, "patience": 1},
    "Step": {"every": 1},
    "StepLR": {"step_size": 3},
}


def sgd(lr: float = 1.0, momentum: float = 0.9) -> torch.optim.Optimizer:
    """Two groups, the first at a tenth."""
    groups = [
        {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (lr / 10, lr)
    ]
    return torch.optim.SGD(groups, momentum=momentum)


def build(name: str, optimizer: torch.optim.Optimizer, steps: int = STEPS, **args):
    spec = {"type": name, "args": args}
    return SCHEDULERS.build(spec, optimizer=optimizer, total_steps=steps, steps_per_epoch=3)


def table(name: str, steps: int, key: str = "lr", lr: float = 1.0, **args) -> list[float]:
    """What the last group has at each step."""
    optimizer = sgd(lr)
    scheduler = build(name, optimizer, steps, **args)
    return [step(optimizer, scheduler)[-1][key] for _ in range(steps)]


def step(optimizer: torch.optim.Optimizer, scheduler, score: float | None = None) -> list[dict]:
    """The groups' settings before a step; a score is heard after it."""
    before = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    optimizer.step()
    scheduler.step()
    if score is not None:
        scheduler.step_on(score)
    return before


def test_poly():
    """(1 - t / 4) ^ 0.9 for t = 0 1 2 3."""
    assert table("Poly", 4) == pytest.approx([1, 0.75**0.9, 0.5**0.9, 0.25**0.9])


def test_poly_floor_and_warmup():
    found = table("Poly", 4, power=1, min_lr=0.3, warmup_steps=1)
    assert found == pytest.approx([0.5, 0.75, 0.5, 0.3])


def test_poly_has_the_bits_it_had_with_a_warm_up_of_its_own():
    """configs/camvid_unet.json's numbers; the factors are multiplied before the rate is."""
    factors = [max(1 - t / 6039, 0) ** 0.9 * ((t + 1) / 151 if t < 150 else 1) for t in range(6039)]
    assert table("Poly", 6039, lr=0.001, warmup_steps=150) == [0.001 * f for f in factors]


def test_steps_past_the_end_keep_the_floor():
    for name in ("Poly", "Cosine", "OneCycle"):
        optimizer = sgd()
        scheduler = build(name, optimizer, 2)
        found = [step(optimizer, scheduler)[-1]["lr"] for _ in range(5)]
        low = 1 / 25e4 if name == "OneCycle" else 0
        assert found[2:] == pytest.approx([low] * 3, abs=1e-12), name


def test_cosine():
    """From 1 to 0.2: 0.2 + 0.8 * (1 + cos(pi t / 4)) / 2."""
    half = math.sqrt(0.5)
    expected = [1, 0.6 + 0.4 * half, 0.6, 0.6 - 0.4 * half]
    assert table("Cosine", 4, min_lr=0.2) == pytest.approx(expected)


def test_cosine_leaves_a_group_below_its_floor():
    optimizer = sgd()
    scheduler = build("Cosine", optimizer, min_lr=0.5)
    assert {step(optimizer, scheduler)[0]["lr"] for _ in range(STEPS)} == {0.1}


def test_one_cycle():
    """11 steps, peak at 0.3 * 11 = 3.3, then 6.7 down to the last; from 1 / 25 to 1 / 250000."""
    rise = lambda t: 1 + (0.04 - 1) * (1 + math.cos(math.pi * t / 3.3)) / 2  # noqa: E731
    fall = lambda t: 4e-6 + (1 - 4e-6) * (1 + math.cos(math.pi * (t - 3.3) / 6.7)) / 2  # noqa: E731
    found = table("OneCycle", 11)
    assert found == pytest.approx([*map(rise, range(4)), *map(fall, range(4, 11))])
    assert (found[0], found[-1]) == pytest.approx((1 / 25, 1 / 25e4))


def test_one_cycle_with_the_divisors_of_the_readme():
    """10 steps: lr / 10 at first, lr at step 3, lr / 25 at last."""
    found = table("OneCycle", 10, div=10, final_div=2.5)
    assert (found[0], found[3], found[-1]) == pytest.approx((0.1, 1, 0.04))
    assert max(found) == found[3]


def test_one_cycle_opposes_the_momentum():
    """0.95 at both ends, 0.85 at the peak, half-way at half a way."""
    found = table("OneCycle", 11, key="momentum", rise=0.4, momentum=[0.95, 0.85])
    expected = [0.85 + 0.05 * (1 + math.cos(math.pi * t / 4.4)) for t in range(5)]
    expected += [0.95 - 0.05 * (1 + math.cos(math.pi * (t - 4.4) / 5.6)) for t in range(5, 11)]
    assert found == pytest.approx(expected)
    rates = table("OneCycle", 11, rise=0.4)
    for (a, b), (m, n) in zip(pairwise(rates), pairwise(found), strict=True):
        assert (b - a) * (n - m) < 0
    assert set(table("OneCycle", 11, key="momentum", momentum=None)) == {0.9}


def test_one_cycle_moves_adams_first_beta():
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], betas=(0.9, 0.99))
    scheduler = build("OneCycle", optimizer, 10)
    found = [step(optimizer, scheduler)[0]["betas"] for _ in range(10)]
    assert (found[0][0], found[3][0], found[-1][0]) == pytest.approx((0.95, 0.85, 0.95))
    assert {beta for _, beta in found} == {0.99}


def test_step():
    assert table("Step", 7, every=3, unit="steps", factor=0.5) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert table("Step", 7, every=1, factor=0.5) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]  # 3 an epoch
    assert table("Step", 7, every=3, unit="steps", min_lr=0.05)[-1] == 0.05


def test_multi_step():
    """Steps 5 and 8 of 10, said in three ways."""
    expected = [1.0] * 5 + [0.1] * 3 + [0.1**2] * 2
    assert table("MultiStep", 10, milestones=[0.5, 0.8]) == expected
    assert table("MultiStep", 10, milestones=[5, 8], unit="steps") == expected
    assert table("MultiStep", 10, milestones=[5 / 3, 8 / 3], unit="epochs") == expected
    assert table("MultiStep", 100, milestones=[0.07])[6:8] == [1, 0.1]  # 0.07 * 100 is above 7


SCORES = [0.5, 0.6, 0.6, 0.55, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]


def test_plateau():
    """Two without a better score are borne, the third halves the rate; 0.7 begins anew."""
    optimizer = sgd()
    scheduler = build("Plateau", optimizer, factor=0.5, patience=2)
    found = [step(optimizer, scheduler, score)[-1]["lr"] for score in SCORES]
    assert found == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


@pytest.mark.parametrize(
    "args", [{}, {"cooldown": 2}, {"threshold": 0.2}, {"min_lr": 0.3}], ids=str
)
@pytest.mark.parametrize("mode", ["max", "min"])
def test_plateau_is_torchs(args, mode):
    """For "min" it hears the score with its sign turned, as `Monitor.merit` gives it."""
    ours, theirs = sgd(), sgd()
    scheduler = build("Plateau", ours, factor=0.5, patience=1, **args)
    torchs = lr_scheduler.ReduceLROnPlateau(theirs, mode, factor=0.5, patience=1, **args)
    sign = {"max": 1, "min": -1}[mode]
    for score in [*SCORES, *reversed(SCORES), *SCORES]:
        scheduler.step_on(sign * score)
        torchs.step(score)
        groups = zip(ours.param_groups, theirs.param_groups, strict=True)
        assert all(a["lr"] == pytest.approx(b["lr"]) for a, b in groups)


def test_plateau_takes_an_undefined_score_for_no_better_one():
    optimizer = sgd()
    scheduler = build("ReduceLROnPlateau", optimizer, patience=1)
    for score in (math.nan, math.nan, 0.1):
        scheduler.step_on(score)
    assert optimizer.param_groups[-1]["lr"] == 0.1
    assert scheduler.best == 0.1
    scheduler.forget_scores()
    assert scheduler.best is None and scheduler.falls == 1


@pytest.mark.parametrize("name", [name for name in SCHEDULERS if hasattr(lr_scheduler, name)])
def test_torchs_schedules_are_torchs(name):
    ours, theirs = sgd(), sgd()
    args = MINIMAL.get(name, {})
    total = {"total_steps": STEPS} if name == "OneCycleLR" else {}
    scheduler = build(name, ours, **args)
    torchs = getattr(lr_scheduler, name)(theirs, **args, **total)
    for _ in range(STEPS):
        assert step(ours, scheduler) == step(theirs, torchs)
    assert type(scheduler).__name__ == name and isinstance(scheduler, getattr(lr_scheduler, name))


def test_every_schedule_of_torch_has_its_name():
    unfit = {"LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler", "LRScheduler"}
    assert set(lr_scheduler.__all__) - unfit <= set(SCHEDULERS.names())


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_warm_up_goes_in_front_of_any(name):
    """The rates are those without it, times its share; the momentum stays as it was."""
    plain, linear, constant = sgd(), sgd(), sgd()
    args = MINIMAL.get(name, {})
    schedulers = [
        build(name, plain, **args),
        build(name, linear, **args, warmup_steps=4),
        build(name, constant, **args, warmup_steps=4, warmup="constant", warmup_factor=0.1),
    ]
    shares = [(0.2, 0.1), (0.4, 0.1), (0.6, 0.1), (0.8, 0.1)] + [(1, 1)] * 8
    for pair, score in zip(shares, SCORES, strict=True):
        bare, *warm = (
            step(*both, score) for both in zip((plain, linear, constant), schedulers, strict=True)
        )
        for share, groups in zip(pair, warm, strict=True):
            for own, group in zip(bare, groups, strict=True):
                assert group["lr"] == pytest.approx(share * own["lr"], rel=1e-12)
                assert group["momentum"] == own["momentum"]


def test_a_schedule_of_ones_own_in_torchs_manner(monkeypatch):
    """It needs to know nothing of warm-ups or states."""
    monkeypatch.setattr(SCHEDULERS, "_classes", dict(SCHEDULERS._classes))

    @SCHEDULERS.register
    class Halving(lr_scheduler.LRScheduler):
        """Half the rate at each step."""

        def get_lr(self) -> list[float]:
            factor = 0.5 if self.last_epoch else 1
            return [group["lr"] * factor for group in self.optimizer.param_groups]

    assert table("Halving", 4, warmup_steps=1) == [0.5, 0.5, 0.25, 0.125]


def test_a_linear_warm_up_may_start_above_zero():
    """0.5 + 0.5 * (t + 1) / 3."""
    found = table("ConstantLR", 4, factor=1, warmup_steps=2, warmup_factor=0.5)
    assert found == pytest.approx([2 / 3, 5 / 6, 1, 1])


@pytest.mark.parametrize("warm_up", [{}, {"warmup_steps": 7}], ids=str)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_restored_schedule_goes_on_to_the_bit(name, warm_up, tmp_path):
    """Rates and momenta, from a state that a checkpoint can hold, on an optimizer that says other
    things."""
    args = {**MINIMAL.get(name, {}), **warm_up}
    whole = sgd()
    scheduler = build(name, whole, **args)
    for score in SCORES[:5]:
        step(whole, scheduler, score)
    torch.save(scheduler.state_dict(), tmp_path / "state.pth")

    broken = sgd()
    again = build(name, broken, **args)
    for group in broken.param_groups:
        group["lr"] = group["lr"] * 0.77
    again.load_state_dict(torch.load(tmp_path / "state.pth", weights_only=True))
    for score in SCORES[5:]:
        assert step(whole, scheduler, score) == step(broken, again, score)
    assert scheduler.state_dict() == again.state_dict()
    assert len({group["lr"] for group in whole.param_groups}) <= 2


BAD = {
    "power": ("Poly", {"power": -1}, r"power \(-1\) and min_lr"),
    "cosine": ("Cosine", {"min_lr": -0.1}, r"min_lr \(-0.1\) must not be negative"),
    "rise": ("OneCycle", {"rise": 30}, "rise is 30; it is a share of the run"),
    "div": ("OneCycle", {"div": 0}, r"div \(0\) must be 1 or more"),
    "momentum": ("OneCycle", {"momentum": [0.85, 0.95]}, r"write \[high, low\]"),
    "every": ("Step", {"every": 0}, "every is 0 epochs; it must make at least one"),
    "factor": ("Step", {"every": 1, "factor": -0.1}, r"factor \(-0.1\) must be above 0"),
    "unsorted": ("MultiStep", {"milestones": [0.8, 0.5]}, "they must rise"),
    "none": ("MultiStep", {"milestones": []}, "they must rise"),
    "zero": ("MultiStep", {"milestones": [0, 0.5]}, "they must rise, from above 0"),
    "fraction": ("MultiStep", {"milestones": [30, 60]}, 'if they are epochs or steps, set "unit"'),
    "plateau": ("Plateau", {"factor": 1}, "factor is 1; it goes from above 0 to below 1"),
    "patience": ("Plateau", {"patience": -1}, r"patience \(-1\).* must not be negative"),
    "long": ("Poly", {"warmup_steps": 12}, "warmup_steps is 12, but the run has 12 steps"),
    "negative": ("StepLR", {"step_size": 3, "warmup_steps": -1}, "warmup_steps is -1"),
    "start": ("Poly", {"warmup_steps": 2, "warmup_factor": 2}, "warmup_factor is 2; it goes from"),
    "constant": ("Poly", {"warmup_steps": 2, "warmup": "constant"}, "needs a warmup_factor above"),
    "unknown": ("Poly", {"warmup_epochs": 2}, "unknown argument 'warmup_epochs'"),
    "warm-up's factor alone": (
        "Poly",
        {"warmup_factor": 0.1},
        "warmup_factor 0.1, but warmup_steps is 0, which is no warm-up; set warmup_steps",
    ),
    "warm-up's shape alone": (
        "StepLR",
        {"step_size": 3, "warmup": "constant", "warmup_factor": 0.1},
        "warmup is 'constant' and .* warmup_steps is 0",
    ),
    "warm-up's shape": (
        "Poly",
        {"warmup_steps": 2, "warmup": "linea"},
        "warmup is 'linea'; did you mean 'linear'",
    ),
    "unit": ("Step", {"every": 1, "unit": "epoch"}, "unit is 'epoch'; did you mean 'epochs'"),
    "step_size": ("StepLR", {"step_size": 0}, "step_size is 0; 1 is the least"),
    "T_max": ("CosineAnnealingLR", {"T_max": 0}, "T_max is 0; 1 is the least"),
    "step_size_up": (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 0.2, "step_size_up": 0},
        "step_size_up is 0; 1 is the least",
    ),
    "mode": (
        "CyclicLR",
        {"base_lr": 0.1, "max_lr": 0.2, "mode": "x"},
        "mode is 'x'; known are exp_range, triangular, triangular2",
    ),
    "no first step": (
        "MultiStep",
        {"milestones": [0.4, 5], "unit": "steps"},
        r"\[0.4, 5\] \(steps\) come to the optimizer steps \[0, 5\]; they must rise, from above 0",
    ),
    "one step twice": (
        "MultiStep",
        {"milestones": [1, 1.1], "unit": "epochs"},
        r"come to the optimizer steps \[3, 3\]; they must rise",
    ),
    "type": ("MultiStepLR", {"milestones": 3}, "MultiStepLR: 'int' object is not iterable"),
    "torch's": ("OneCycleLR", {"max_lr": 0.1, "pct_start": 2.0}, "Expected float between 0 and 1"),
}


@pytest.mark.parametrize(("name", "args", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(name, args, message):
    with pytest.raises(UserError, match=f"scheduler {name}: |unknown") as error:
        build(name, sgd(), **args)
    assert error.match(message)


def test_what_a_schedule_cannot_go_without():
    with pytest.raises(UserError, match="an epoch's length is not known here"):
        SCHEDULERS.build({"type": "Step", "args": {"every": 1}}, optimizer=sgd(), total_steps=9)
    plain = torch.optim.Adagrad([torch.nn.Parameter(torch.zeros(1))])
    with pytest.raises(UserError, match='Adagrad has no momentum; set "momentum" to null'):
        build("OneCycle", plain)


@pytest.mark.parametrize("name", ["Poly", "Cosine", "Step", "MultiStep", "Plateau"])
def test_a_floor_above_every_group_is_refused(name):
    """The groups start at 0.1 and 1."""
    args = MINIMAL.get(name, {})
    build(name, sgd(), **args, min_lr=0.5)
    message = f"{name}: min_lr is 1.5, above the rate of every group, of which the highest is 1:"
    with pytest.raises(UserError, match=message):
        build(name, sgd(), **args, min_lr=1.5)


def test_milestones_that_do_nothing_in_this_run(capsys):
    build("MultiStep", sgd(), 12, milestones=[5, 12, 40], unit="steps")
    assert "12 optimizer steps end before the milestones at the steps [12, 40]" in said(capsys)
    build("MultiStep", sgd(), 2, milestones=[0.1, 0.2])
    assert "come to the optimizer steps [0, 0]; they must rise" in said(capsys)
    build("MultiStep", sgd(), 12, milestones=[5, 11], unit="steps")
    assert said(capsys) == ""


def said(capsys) -> str:
    return "".join(capsys.readouterr())


def test_what_torch_notices_in_a_step():
    optimizer = sgd()
    scheduler = build("OneCycleLR", optimizer, 2, max_lr=0.1)
    step(optimizer, scheduler)
    with pytest.raises(UserError, match="scheduler OneCycleLR: Tried to step"):
        for _ in range(2):
            step(optimizer, scheduler)


def test_a_run_shorter_than_what_torchs_schedule_has_done():
    scheduler = build("OneCycleLR", sgd(), 4, max_lr=0.1)
    with pytest.raises(UserError, match="OneCycleLR: Tried to step 5 times"):
        scheduler.load_state_dict({"step": 9})


RUNS = {
    "one cycle": ({"type": "OneCycle", "args": {"warmup_steps": 2}}, {}),
    "torch's": ({"type": "CyclicLR", "args": {"base_lr": 0.01, "max_lr": 0.02}}, {}),
    "plateau": ({"type": "Plateau", "args": {"patience": 0, "threshold": 9}}, {"iterations": 7}),
}


@pytest.mark.parametrize(("section", "length"), RUNS.values(), ids=RUNS)
def test_a_run_resumes_to_the_bit(section, length, tiny, tmp_path, monkeypatch):
    """Plateau's threshold takes every score but the first for a worse one."""
    tiny["lr_scheduler"] = section
    tiny["trainer"] |= {"deterministic": True, **length}
    if length:
        del tiny["trainer"]["epochs"]
        tiny["trainer"] |= {"val_every_iterations": 2}
    whole = train_run(tiny, tmp_path)

    tiny["name"] = "broken"
    stop_at(5, monkeypatch)
    with pytest.raises(Interrupted):
        train_run(tiny, tmp_path)
    monkeypatch.undo()
    broken = newest_run(tiny)
    resume(broken / "last.pth")
    states = [checkpoint.load(run / "last.pth") for run in (whole, broken)]
    for key in ("state_dict", "optimizer", "lr_scheduler"):
        assert same(states[0][key], states[1][key]), key
    assert rows(whole) == rows(broken)
    if length:  # validations after 2, 4, 6 and 7 iterations
        assert [float(row["lr"]) for row in rows(whole)] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-4])


def resume(path: Path) -> None:
    train.main(train.parse(["-r", str(path)]))


def test_plateau_needs_a_score(tiny, tmp_path):
    tiny["lr_scheduler"], tiny["trainer"]["val"] = {"type": "Plateau"}, False
    with pytest.raises(
        UserError, match="Plateau follows a score: set monitor, and give a val_load"
    ):
        train_run(tiny, tmp_path)


def test_plateau_forgets_the_scores_of_another_monitor(tiny, tmp_path):
    tiny["lr_scheduler"] = {"type": "Plateau"}
    run = train_run(tiny, tmp_path)
    assert checkpoint.load(run / "last.pth")["lr_scheduler"]["best"] is not None
    overrides = ["trainer.monitor=min val_loss", "trainer.epochs=3"]
    start = train.choose_start(None, str(run / "last.pth"), overrides)
    assert train.build(start, [torch.device("cpu")]).updater.scheduler.best is None


def test_an_epoch_is_counted_in_updates(tiny, tmp_path):
    """Three batches an epoch in groups of two are two updates."""
    tiny["lr_scheduler"] = {"type": "Step", "args": {"every": 1}}
    tiny["trainer"]["accumulate"] = 2
    run = train_run(tiny, tmp_path)
    assert [float(row["lr"]) for row in rows(run)] == pytest.approx([1e-3, 1e-4])


def plot(tmp_path: Path, *words: str) -> subprocess.CompletedProcess:
    config = write(TINY, tmp_path / "tiny.json")
    command = [sys.executable, "tools/plot_schedule.py", "-c", config, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["OneCycle", "Plateau"])
def test_the_plot(name, tmp_path):
    path = tmp_path / "schedule.png"
    section = f'lr_scheduler={{"type": "{name}"}}'
    done = plot(tmp_path, "--set", section, "--steps-per-epoch", "7", "--output", str(path))
    assert done.returncode == 0, done.stderr
    assert "14 optimizer steps, 7 an epoch" in done.stdout
    assert ("falls by the scores" in done.stdout) == (name == "Plateau")
    assert "assumed" not in done.stdout
    picture = cv2.imread(str(path))
    assert picture.shape == (400, 900, 3) and (picture != 255).any()


def test_the_plot_says_what_it_assumes(tmp_path):
    """100 batches an epoch, of which three make one step."""
    output = str(tmp_path / "schedule.PNG")
    done = plot(tmp_path, "--set", "trainer.accumulate=3", "--output", output)
    assert done.returncode == 0, done.stderr
    assert "100 batches an epoch are assumed, 34 optimizer steps" in done.stdout
    assert "68 optimizer steps, 34 an epoch" in done.stdout


PLOT_ERRORS = {
    "epoch": (["--steps-per-epoch", "0"], "--steps-per-epoch is 0; 1 is the least"),
    "no png": (["--output", "a.jpg"], "--output a.jpg: it is a PNG; give a name that ends in .png"),
    "steps": (["--steps", "0"], "--steps is 0; 1 is the least"),
    "folder": (["--output", "nowhere/a.png"], "there is no folder nowhere"),
    "key": (["--set", "lr_scheduler.args.pow=2"], "unknown key 'pow'; did you mean 'power'"),
    "warm-up": (["--set", "lr_scheduler.args.warmup_steps=900"], "but the run has 200 steps"),
    "a long one": (["--steps", "9", "--set", "lr_scheduler.args.warmup_steps=9"], "has 9 steps"),
}


@pytest.mark.parametrize(("words", "message"), PLOT_ERRORS.values(), ids=PLOT_ERRORS)
def test_the_plot_refuses(words, message, tmp_path, capsys):
    words = ["-c", write(TINY, tmp_path / "tiny.json"), *words]
    assert run(lambda: plot_schedule.main(plot_schedule.parse(words))) == 2
    assert message in capsys.readouterr().err
    assert not [*tmp_path.glob("*.png")]


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


@pytest.mark.parametrize(
    ("name", "args", "devices", "expected"),
    [
        ("AdamW", {}, {"cuda"}, {"fused": True}),
        ("SGD", {"lr": 0.1}, {"cuda"}, {"lr": 0.1, "fused": True}),
        ("AdamW", {}, {"cpu"}, {}),
        ("RMSprop", {}, {"cuda"}, {}),
        ("Adam", {"foreach": True}, {"cuda"}, {"foreach": True}),
        ("Adam", {"fused": False}, {"cuda"}, {"fused": False}),
    ],
)
def test_on_gpus_one_kernel_updates_all_weights(name, args, devices, expected):
    assert fused(OPTIMIZERS[name], args, devices) == expected


def test_torchs_own_refusals_are_users_errors():
    with pytest.raises(UserError, match="Invalid learning rate"):
        make_optimizer({"type": "SGD", "args": {"lr": -1.0}}, unet())


def test_a_rate_beyond_float32_is_refused():
    """It would end the first update in torch's own error."""
    with pytest.raises(UserError, match=r"AdamW: lr is 1e\+38, .* too large .* at most 1e\+30"):
        make_optimizer({"type": "AdamW", "args": {"lr": 1e38}}, unet())


def test_layer_decay_falls_stage_by_stage():
    """A ResNet has five stages; the decoder keeps the rate."""
    model = unet()
    section = {
        "type": "SGD",
        "args": {"lr": 0.64},
        "layer_decay": 0.5,
        "decay_norm_and_bias": False,
    }
    groups = make_optimizer(section, model).param_groups
    rates = {g["name"]: g["lr"] for g in groups}
    stages = {"encoder_stage1": 0.02, "encoder_stage5": 0.32, "encoder_stage4_no_decay": 0.16}
    assert {**stages, "decoder": 0.64, "decoder_no_decay": 0.64}.items() <= rates.items()
    assert len(groups) == 12
    listed = [id(p) for g in groups for p in g["params"]]
    assert sorted(listed) == sorted(map(id, model.parameters()))
    first = next(g for g in groups if g["name"] == "encoder_stage1")
    assert first["params"] == [model.encoder.stages[0].conv1.weight]


def test_layer_decay_of_the_default_rate():
    groups = make_optimizer({"type": "Adam", "layer_decay": 0.1}, unet()).param_groups
    rates = {g["name"]: g["lr"] for g in groups}
    assert rates["encoder_stage5"] == pytest.approx(1e-4) and rates["decoder"] == 1e-3


def test_layer_decay_refuses():
    section = {"type": "SGD", "layer_decay": 0.5}
    model = unet()
    with pytest.raises(UserError, match="differential_lr and layer_decay exclude each other"):
        make_optimizer({**section, "differential_lr": True}, model)
    with pytest.raises(UserError, match="layer_decay is 1.5; it goes from above 0 to 1"):
        make_optimizer({**section, "layer_decay": 1.5}, model)
    model.encoder = torch.nn.Conv2d(3, 3, 1)
    with pytest.raises(UserError, match="an encoder with stages, and Conv2d has none"):
        make_optimizer(section, model)


def test_layer_decay_says_where_it_changes_nothing(capsys):
    model = MODELS.build("ENet", out_channels=2)
    groups = make_optimizer({"type": "SGD", "layer_decay": 0.5}, model).param_groups
    assert [g["name"] for g in groups] == ["decoder"]
    assert "layer_decay changes nothing: ENet trains no encoder" in capsys.readouterr().out


def test_layer_decay_counts_the_stages_that_have_weights():
    """VGG's last stage is a pool alone: the deepest weights stand in the one before it."""
    with torch.device("meta"):
        model = MODELS.build("FCN", out_channels=2)
    section = {"type": "SGD", "args": {"lr": 1.0}, "layer_decay": 0.5}
    rates = {g["name"]: g["lr"] for g in make_optimizer(section, model).param_groups}
    assert rates == {f"encoder_stage{n}": 0.5 ** (6 - n) for n in range(1, 6)} | {"decoder": 1.0}


def test_the_floor_holds_under_the_warm_up():
    """The rate, its floor included, times 1/4, 2/4, 3/4, then alone."""
    warmed = table("Poly", 4, power=1, min_lr=0.6, warmup_steps=3)
    assert warmed == pytest.approx([1 / 4, 0.75 * 2 / 4, 0.6 * 3 / 4, 0.6])
    warmed = table("Cosine", 4, min_lr=1.0, warmup_steps=3)
    assert warmed == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1])
