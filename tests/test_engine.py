"""The engine's switches: compiling, saving in time, averaging, clipping, progress, devices."""

from __future__ import annotations

import copy
import functools
import io
import json
import re
import sysconfig
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from test_train import newest_run, rows, same, train_run, write
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from tqdm import tqdm

import evaluate
import inference
import train
from base.base_trainer import BaseTrainer
from dataloaders import DATASETS
from models import MODELS, BaseModel
from trainer import TRAINERS
from utils import checkpoint
from utils.command import run as exit_code
from utils.config import read_config
from utils.engine.averaging import MovingAverage
from utils.engine.progress import Progress
from utils.engine.resume import Start
from utils.engine.run_folder import RunFolder
from utils.engine.updater import Updater
from utils.errors import UserError
from utils.postprocess import POSTPROCESSORS

CPU = torch.device("cpu")
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="would use the GPU")
needs_gpu = pytest.mark.skipif(torch.cuda.device_count() < 1, reason="needs a GPU")


class Small(BaseModel):
    """Two convolutions.

    Args:
        out_channels: Channels of the output.
        norm: Put a batch norm between them.
        dropout: Share of channels dropped there.
    """

    def __init__(self, out_channels: int, norm: bool = False, dropout: float = 0.0):
        super().__init__()
        self.hidden = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(8, out_channels, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"out": self.head(self.dropout(self.norm(self.hidden(image)).relu()))}


@pytest.fixture
def small(tiny, monkeypatch) -> dict:
    """A config that trains in a fraction of a second."""
    monkeypatch.setitem(MODELS._classes, "Small", Small)
    return tiny | {"arch": {"type": "Small", "args": {}}, "n_gpu": 0}


@pytest.fixture
def saves(monkeypatch) -> list[int]:
    """The iterations after which last.pth was written."""
    done = []
    save = RunFolder.save_checkpoint

    def noting(self, state, name):
        if name == "last.pth":
            done.append(state["iteration"])
        return save(self, state, name)

    monkeypatch.setattr(RunFolder, "save_checkpoint", noting)
    return done


class Clock:
    """Stands in for the module `time`; moves when told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Killed(BaseException):
    """The end of a process that gets no chance to save."""


def on_step(monkeypatch, action: Callable[[int], None]) -> None:
    """Call `action` with the iteration's number, from 1, as it begins."""
    step = TRAINERS["Trainer"].step

    def wrapped(self, batch):
        action(self.iteration + 1)
        return step(self, batch)

    monkeypatch.setattr(TRAINERS["Trainer"], "step", wrapped)


def killed_and_resumed(
    config: dict, tmp_path: Path, monkeypatch, at: int, seconds: float = 0
) -> tuple[Path, int]:
    """Die as iteration `at` begins, and go on from last.pth.

    Args:
        config: What to train.
        tmp_path: Folder for it.
        monkeypatch: pytest's.
        at: From 1.
        seconds: What an iteration seems to take.

    Returns:
        The run's folder and the iteration it went on from.
    """
    clock = Clock()

    def die(iteration: int) -> None:
        clock.now += seconds
        if iteration == at:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("utils.engine.saving.time", clock)
        on_step(patch, die)
        with pytest.raises(Killed):
            train_run(config, tmp_path)
    run = newest_run(config)
    start = checkpoint.load(run / "last.pth")["iteration"]
    train.main(train.parse(["-r", str(run / "last.pth")]))
    return run, start


def assert_same_runs(whole: Path, broken: Path) -> None:
    """Weights, optimizer, generators and scores are equal to the bit."""
    states = [checkpoint.load(run / "last.pth") for run in (whole, broken)]
    for key in states[0].keys() - {"config"}:
        assert same(states[0][key], states[1][key]), key
    assert rows(whole) == rows(broken)


def build(config: dict, tmp_path: Path, devices: list[torch.device]) -> BaseTrainer:
    return train.build(Start(read_config(write(config, tmp_path / "c.json"))), devices)


def weights(run: Path) -> dict[str, Tensor]:
    return checkpoint.load(run / "last.pth")["state_dict"]


# compiling


def test_a_compiled_model_trains_and_is_saved_as_itself(small, tmp_path, monkeypatch):
    """Dynamo traces the graphs, and torch runs them as they are: no compiler is needed."""
    graphs = []

    def run_as_it_is(graph, _):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=run_as_it_is))
    small["arch"]["args"]["norm"] = True
    plain = train_run(small, tmp_path)
    assert not graphs
    small["name"] = "compiled"
    small["trainer"]["compile"] = True
    compiled = train_run(small, tmp_path)
    assert graphs
    assert weights(plain).keys() == weights(compiled).keys()
    for key, value in weights(plain).items():
        torch.testing.assert_close(weights(compiled)[key], value)
    labels = inference.load(compiled / "last.pth")(np.zeros((40, 50, 3), np.uint8))
    assert labels.shape == (40, 50)


@pytest.mark.slow
def test_the_compiler_of_torch_trains_the_same(small, tmp_path):
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        pytest.skip("torch.compile needs a C++ compiler, such as g++, and there is none")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        pytest.skip("torch.compile needs Python's C headers, and there are none")
    plain = train_run(small, tmp_path)
    small["name"] = "compiled"
    small["trainer"]["compile"] = True
    compiled = train_run(small, tmp_path)
    assert weights(plain).keys() == weights(compiled).keys()
    for key, value in weights(plain).items():
        torch.testing.assert_close(weights(compiled)[key], value, rtol=1e-3, atol=1e-4)


# saving inside an epoch


def test_last_is_written_every_so_many_batches(small, tmp_path, saves):
    """An epoch of 10 batches: after 4 and 8, and at its end."""
    small["train_loader"]["args"]["length"] = 20
    small["trainer"] |= {"epochs": 1, "save_every_iterations": 4}
    train_run(small, tmp_path)
    assert saves == [4, 8, 10]


def test_last_is_written_every_so_many_minutes(small, tmp_path, saves, monkeypatch):
    """At 25 seconds a batch a minute is over after 3: at 75, 150 and 225 seconds."""
    clock = Clock()

    def pass_time(_: int) -> None:
        clock.now += 25

    monkeypatch.setattr("utils.engine.saving.time", clock)
    on_step(monkeypatch, pass_time)
    small["train_loader"]["args"]["length"] = 20
    small["trainer"] |= {"epochs": 1, "save_every_minutes": 1}
    train_run(small, tmp_path)
    assert saves == [3, 6, 9, 10]


def test_a_save_that_falls_between_two_updates_waits_for_the_next(small, tmp_path, saves):
    """Every 3 of 12 batches, an update every 2: 3 waits for 4 and 9 for 10, as validations do."""
    small["train_loader"]["args"]["length"] = 24
    small["trainer"] |= {"epochs": 1, "save_every_iterations": 3, "accumulate": 2}
    train_run(small, tmp_path)
    assert saves == [4, 6, 10, 12]


@pytest.mark.parametrize(
    ("key", "value", "start"), [("save_every_iterations", 4, 12), ("save_every_minutes", 1, 13)]
)
def test_a_killed_run_goes_on_from_its_last_save(key, value, start, small, tmp_path, monkeypatch):
    """Two epochs of 10 batches, killed in the 15th.

    Every 4 batches is after 12. At 25 seconds a batch a minute is over 3 batches after the save
    that ends the first epoch.
    """
    small["arch"]["args"] = {"norm": True, "dropout": 0.5}
    small["train_loader"]["args"]["length"] = 20
    small["trainer"] |= {"ema_decay": 0.9, "val_every_iterations": 5, "deterministic": True}
    small["trainer"][key] = value
    whole = train_run(small, tmp_path)
    small["name"] = "broken"
    broken, went_on_from = killed_and_resumed(small, tmp_path, monkeypatch, at=15, seconds=25)
    assert went_on_from == start
    assert_same_runs(whole, broken)


@pytest.mark.slow
def test_a_killed_camvid_run_goes_on_to_the_bit(tiny, real_data, tmp_path, monkeypatch):
    """With the switches of configs/camvid_unet.json, on small crops."""
    data = {"data_dir": str(real_data / "camvid"), "batch_size": 4}
    config = tiny | {
        "n_gpu": 0,
        "arch": {
            "type": "UNet",
            "args": {"backbone": "resnet18", "decoder_channels": [32, 16, 16, 8]},
        },
        "train_loader": {
            "type": "CamVid",
            "args": {**data, "split": "train", "shuffle": True, "drop_last": True},
        },
        "val_loader": {"type": "CamVid", "args": {**data, "split": "val"}},
        "transforms": [
            {
                "type": "Warp",
                "args": {"crop_size": 96, "scale": [0.75, 1.6], "rotate": 3, "flip": True},
            },
            {"type": "BrightnessContrast", "args": {"brightness": 0.1, "contrast": 0.3}},
        ],
        "loss": {"type": "CrossEntropy", "args": {"class_weights": "auto"}},
        "optimizer": {
            "type": "AdamW",
            "args": {"lr": 0.001, "weight_decay": 0.01},
            "decay_norm_and_bias": False,
        },
        "lr_scheduler": {"type": "Poly", "args": {"warmup_steps": 5}},
    }
    del config["trainer"]["epochs"]
    config["trainer"] |= {
        "iterations": 12,
        "save_every_iterations": 7,
        "amp": "bf16",
        "channels_last": True,
        "clip_grad_norm": 5.0,
        "ema_decay": 0.998,
    }
    whole = train_run(config, tmp_path)
    config["name"] = "broken"
    broken, went_on_from = killed_and_resumed(config, tmp_path, monkeypatch, at=9)
    assert went_on_from == 7
    assert_same_runs(whole, broken)


# the moving average


def test_the_average_by_hand():
    """Decay 0.9: 1 is copied, 0.9 * 1 + 0.1 * 3 = 1.2, 0.9 * 1.2 + 0.1 * 5 = 1.58."""
    model = nn.BatchNorm1d(1)
    average = MovingAverage(model, 0.9)
    for value, expected in ((1, 1.0), (3, 1.2), (5, 1.58)):
        model.weight.data.fill_(value)
        model.running_mean.fill_(-value)
        average.update(model)
        assert average.model.weight.item() == pytest.approx(expected)
        assert average.model.running_mean.item() == pytest.approx(-expected)
    assert average.state()["updates"] == 3
    assert not average.model.training and not average.model.weight.requires_grad


def test_a_loaded_average_goes_on():
    """0.5 * 2 + 0.5 * 4 = 3; one that began anew would copy 4."""
    first, model = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    first.weight.data.fill_(2)
    before = MovingAverage(first, 0.5)
    before.update(first)
    average = MovingAverage(model, 0.5)
    average.load(before.state())
    model.weight.data.fill_(4)
    average.update(model)
    assert average.model.weight.item() == 3


def test_the_average_keeps_a_table_of_whole_numbers():
    """Such as the index into a window attention's biases: 3 would become 2.

    In float32 a * 0.9995 + a * 0.0005 is less than a for three in ten whole numbers below 4000.
    """
    model = nn.Module()
    model.register_buffer("places", torch.arange(4000))
    average = MovingAverage(model, 0.9995)
    for _ in range(2):
        average.update(model)
    assert torch.equal(average.model.places, model.places)


def test_a_run_averages_after_every_update(small, tmp_path, monkeypatch):
    """Three batches an epoch in groups of two: four updates, w1 to w4, in two epochs.

    With a decay of 0.8 the average is w1, then 0.8 of itself and 0.2 of the new weights.
    """
    seen = []

    def remember(self) -> None:
        seen.append(copy.deepcopy(self.model.state_dict()))

    monkeypatch.setattr(TRAINERS["Trainer"], "after_update", remember)
    small["arch"]["args"]["norm"] = True
    small["trainer"] |= {"ema_decay": 0.8, "accumulate": 2}
    ema = checkpoint.load(train_run(small, tmp_path) / "last.pth")["ema"]
    assert len(seen) == ema["updates"] == 4
    assert ema["state_dict"].keys() == seen[0].keys()
    for key in (key for key, value in seen[0].items() if value.is_floating_point()):
        expected = seen[0][key]
        for state in seen[1:]:
            expected = 0.8 * expected + 0.2 * state[key]
        torch.testing.assert_close(ema["state_dict"][key], expected)


def test_the_average_is_what_is_validated_and_evaluated(small, tmp_path, monkeypatch):
    scored = []
    real = train.evaluate

    def noting(model, *args, **more):
        scored.append(copy.deepcopy(dict(model.state_dict())))
        return real(model, *args, **more)

    monkeypatch.setattr(train, "evaluate", noting)
    small["arch"]["args"]["norm"] = True
    small["trainer"] |= {"ema_decay": 0.5, "save_period": 1}
    run = train_run(small, tmp_path)
    states = [checkpoint.load(run / f"checkpoint-epoch{epoch}.pth") for epoch in (1, 2)]
    assert same(scored, [dict(state["ema"]["state_dict"]) for state in states])
    assert not same(scored[0], dict(states[0]["state_dict"]))
    out = str(run / "scored")
    evaluate.main(evaluate.parse(["-m", str(run / "last.pth"), "-d", "cpu", "--output", out]))
    scores = json.loads((run / "scored" / "scores.json").read_text())
    assert scores["Mean_IoU"] == pytest.approx(float(rows(run)[-1]["Mean_IoU"]), abs=1e-6)


# clipping and accumulation


class Point(nn.Module):
    """Stands at (0, 0); its gradient is what the loss multiplies it with."""

    def __init__(self):
        super().__init__()
        self.at = nn.Parameter(torch.zeros(2))


def moved(
    *gradients: tuple[float, float],
    accumulate: int = 1,
    clip: float | None = None,
    scaled: bool = False,
    begun: int = 0,
) -> tuple[list[float], list[bool]]:
    """Minus where a point comes to at a learning rate of 1, and which batches moved it.

    After one update that is the gradient which the optimizer saw.
    """
    point = Point()
    updater = Updater(
        point,
        torch.optim.SGD(point.parameters(), lr=1.0),
        scheduler=None,
        scaler=torch.amp.GradScaler("cpu", enabled=scaled),
        total=9,
        per_epoch=3,
        accumulate=accumulate,
        clip_grad_norm=clip,
        ema_decay=0,
    )
    updates = []
    updater.begun = begun
    for iteration, gradient in enumerate(gradients, begun + 1):
        updater.backward((torch.tensor(gradient) * point.at).sum(), iteration)
        updates.append(updater.due(iteration))
        if updates[-1]:
            updater.gradient_norm()
            updater.update()
    return (-point.at).tolist(), updates


@pytest.mark.parametrize("scaled", [False, True])
def test_a_long_gradient_is_cut_to_the_limit(scaled):
    """(3, 4) has the norm 5; at most 1 leaves a fifth of it. A loss scale changes nothing."""
    seen, _ = moved((3.0, 4.0), clip=1.0, scaled=scaled)
    assert seen == pytest.approx([0.6, 0.8], rel=1e-5)
    assert np.hypot(*seen) <= 1


@pytest.mark.parametrize("scaled", [False, True])
def test_a_short_gradient_is_left_alone(scaled):
    assert moved((0.375, 0.5), clip=1.0, scaled=scaled)[0] == [0.375, 0.5]


def test_a_group_that_a_run_begins_in_has_the_batches_that_are_left():
    """Of batches 2 and 3 of a group of three, and of all three."""
    assert moved((1.0, 2.0), (3.0, 4.0), accumulate=3, begun=1) == ([2.0, 3.0], [False, True])
    assert moved((3.0, 6.0), (0.0, 0.0), (0.0, 0.0), accumulate=3)[0] == [1.0, 2.0]


def test_clipping_cuts_what_was_accumulated():
    """The mean of (6, 0) and (0, 8) is (3, 4), cut to (0.6, 0.8).

    Cut one by one they would give (0.5, 0.5).
    """
    seen, updates = moved((6.0, 0.0), (0.0, 8.0), accumulate=2, clip=1.0)
    assert seen == pytest.approx([0.6, 0.8], rel=1e-5)
    assert updates == [False, True]


def test_the_last_batch_of_an_epoch_counts_in_full():
    """Three batches in groups of two: (2 + 4) / 2 from the first two, 5 from the third alone."""
    seen, updates = moved((2.0, 0.0), (4.0, 0.0), (0.0, 5.0), accumulate=2)
    assert seen == [3, 5]
    assert updates == [False, True, True]


@pytest.mark.parametrize("amp", [False, "fp16"])
def test_a_run_never_steps_further_than_the_limit(amp, small, tmp_path):
    """The first gradient is the unclipped run's, made as short as the limit."""
    gradients = []

    def note(optimizer, _, __) -> None:
        group = optimizer.param_groups[0]["params"]
        gradients.append(torch.cat([p.grad.flatten() for p in group]))

    small["trainer"] |= {"amp": amp, "accumulate": 2}
    handle = register_optimizer_step_pre_hook(note)
    try:
        train_run(small, tmp_path)
        whole = list(gradients)
        gradients.clear()
        small["trainer"]["clip_grad_norm"] = 0.01
        train_run(small, tmp_path)
    finally:
        handle.remove()
    assert len(whole) == len(gradients) == 4
    assert all(gradient.norm() > 0.01 for gradient in whole)
    assert all(gradient.norm() <= 0.01 * (1 + 1e-5) for gradient in gradients)
    torch.testing.assert_close(gradients[0], whole[0] * 0.01 / whole[0].norm())


def test_two_batches_of_two_equal_one_of_four(small, tmp_path):
    """Every pixel has a label and nothing looks across the batch, so the means are the same."""
    small["train_loader"]["args"] |= {"length": 8, "batch_size": 4, "augment": False}
    small["trainer"]["ema_decay"] = 0.5
    large = train_run(small, tmp_path)
    small["name"] = "accumulated"
    small["train_loader"]["args"]["batch_size"] = 2
    small["trainer"]["accumulate"] = 2
    states = [checkpoint.load(r / "last.pth") for r in (large, train_run(small, tmp_path))]
    assert [state["iteration"] for state in states] == [4, 8]
    assert states[0]["lr_scheduler"] == states[1]["lr_scheduler"] == {"step": 4}
    averages = [state["ema"]["state_dict"] for state in states]
    for one, two in ([state["state_dict"] for state in states], averages):
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-6)


# post-processing


class Paint:
    """Give every pixel one label."""

    def __init__(self, label: int):
        self.label = label

    def __call__(self, labels: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        return torch.full_like(labels, self.label)


class Next:
    """Give every pixel the label after its own."""

    def __call__(self, labels: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        return labels + 1


@pytest.fixture
def painted(small, monkeypatch) -> dict:
    """A config whose label maps are all 1 + 1: squares. In the other order they would be discs."""
    for step in (Paint, Next):
        monkeypatch.setitem(POSTPROCESSORS._classes, step.__name__, step)
    return small | {"postprocess": [{"type": "Paint", "args": {"label": 1}}, {"type": "Next"}]}


def test_postprocessing_is_scored_and_predicted(painted, tmp_path):
    """The share of right pixels is that of squares in the truth."""
    dataset = DATASETS.build({"type": "Shapes", "args": {"split": "val", "length": 3, "size": 32}})
    truth = torch.stack([dataset[index]["target"] for index in range(3)])
    share = (truth == 2).double().mean().item()
    assert 0 < share < 1
    run = train_run(painted, tmp_path)
    row = rows(run)[-1]
    for key in ("Pixel_Accuracy", "IoU/square"):
        assert float(row[key]) == pytest.approx(share, abs=1e-6)
    model = str(run / "last.pth")
    evaluate.main(evaluate.parse(["-m", model, "-d", "cpu", "--output", str(run / "scored")]))
    scores = json.loads((run / "scored" / "scores.json").read_text())
    assert scores["Pixel_Accuracy"] == pytest.approx(share, abs=1e-6)
    assert (inference.load(model)(np.zeros((40, 50, 3), np.uint8)) == 2).all()


def test_pictures_show_what_is_scored(painted, tmp_path, monkeypatch):
    monkeypatch.setattr("utils.engine.preview.contact_sheet", lambda rows, _: rows)
    trainer = build(painted, tmp_path, [CPU])
    square = trainer.identity["palette"][2]
    for _, __, prediction in trainer.reporter.draw(trainer.model)["input_truth_prediction"]:
        assert (prediction == square).all()


# the progress line


class Terminal(io.StringIO):
    """A terminal that remembers what was written."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        return [line for line in re.split(r"[\r\n]", self.getvalue()) if line.strip()]


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    """Where the bar of an epoch is drawn, every state of it."""
    screen = Terminal()
    drawn = functools.partial(tqdm, file=screen, mininterval=0)
    monkeypatch.setattr("utils.engine.progress.tqdm", drawn)
    return screen


def shown(monkeypatch, images: int, wait: float, work: float, **scores: float) -> str:
    """The line after the second batch of epoch 99 of 100, which has 500 batches.

    Args:
        monkeypatch: pytest's.
        images: In a batch.
        wait: Seconds that a batch is waited for.
        work: Seconds that it takes then.
        scores: What the reporter shows.
    """
    clock = Clock()
    monkeypatch.setattr("utils.engine.progress.time", clock)

    def loader() -> Iterator[int]:
        for batch in range(2):
            clock.now += wait
            yield batch

    place = {"epoch": 98, "iteration": 49_000, "total": 50_000, "per_epoch": 500, "position": 0}
    with Progress(**place) as progress:
        for _ in progress.watch(loader()):
            clock.now += work
            progress.advance(images, 1.0)
            progress.show(scores)
        return str(progress.bar)


def test_the_progress_line_by_hand(terminal, monkeypatch):
    """Two batches of 16 images in 2 seconds, half a second of it waiting; 998 batches are left."""
    line = shown(monkeypatch, 16, wait=0.25, work=0.75, loss=1.2345, Mean_IoU=0.5678)
    expected = "99/100 loss 1.234 Mean_IoU 0.568 16.0 img/s wait 25% left 0:16:38 |"
    assert line.startswith(expected)
    assert len(line) == 80


def test_a_long_progress_line_fits_80_columns(terminal, monkeypatch):
    """A second a batch, 45 seconds waiting: 998 batches of 46 seconds are 12:45:08."""
    line = shown(monkeypatch, 99_999, wait=45, work=1, loss=1234.5678, Pixel_Accuracy=0.98765)
    for part in ("loss 1235", "Pixel_Accuracy 0.988", "2173.9 img/s", "wait 98%", "left 12:45:08"):
        assert part in line
    assert len(line) <= 80


def test_a_large_loss_keeps_its_size(terminal, monkeypatch):
    assert "loss 1.235e+05 " in shown(monkeypatch, 16, wait=0.25, work=0.75, loss=123456.7)


def bar_lines(terminal: Terminal) -> list[str]:
    return [line for line in terminal.lines() if "img/s" in line]


def test_a_run_on_a_terminal_draws_a_bar(small, tmp_path, terminal):
    small["trainer"]["log_per_iter"] = 1
    train_run(small, tmp_path)
    assert max(map(len, terminal.lines())) <= 80
    lines = bar_lines(terminal)
    assert {line.split()[0] for line in lines} == {"1/2", "2/2"}
    pattern = r"loss \d\.\d+ Mean_IoU \d\.\d+ [\d.]+ img/s wait \d+% left \d+:\d\d:\d\d \|"
    assert any(re.search(pattern, line) for line in lines)


def test_the_bar_of_a_short_epoch_holds_a_loss(small, tmp_path, terminal):
    train_run(small, tmp_path)
    assert any("loss" in line for line in bar_lines(terminal))


def test_a_run_without_a_terminal_prints_a_line_an_epoch(small, tmp_path, capsys):
    train_run(small, tmp_path)
    said, errors = capsys.readouterr()
    assert "\r" not in said and "img/s" not in errors
    pattern = (
        r"epoch \d/2: loss \d+\.\d{4}, [\d.]+ img/s, \d+% waiting for data, \d+:\d\d:\d\d left"
    )
    lines = [line for line in said.splitlines() if "img/s" in line]
    assert all(re.fullmatch(pattern, line) for line in lines)
    assert [line[:9] for line in lines] == ["epoch 1/2", "epoch 2/2"]


# several devices


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (0, "there is no device '0'; this machine has no GPU"),
        (1, "there is no device '1'; this machine has GPU 0 alone"),
    ],
)
def test_gpus_that_are_not_there(there, says, small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    words = ["-c", write(small, tmp_path / "c.json"), "-d", "0,1"]
    assert exit_code(lambda: train.main(train.parse(words))) == 2
    assert f"-d 0,1: {says}" in capsys.readouterr().err
    assert not Path(small["trainer"]["save_dir"]).exists()


@without_gpu
def test_a_parallel_model_is_saved_as_itself(small, tmp_path, monkeypatch):
    """Without a GPU, DataParallel runs the model it holds."""
    one = train_run(small, tmp_path)
    made = []
    real = nn.DataParallel

    def noting(*args) -> nn.Module:
        made.append(real(*args))
        return made[-1]

    monkeypatch.setattr(nn, "DataParallel", noting)
    monkeypatch.setattr(train, "choose_devices", lambda *_: [CPU, CPU])
    small["name"] = "parallel"
    two = train_run(small, tmp_path)
    assert len(made) == 1
    assert same(dict(weights(one)), dict(weights(two)))


@without_gpu
def test_a_compiled_model_is_not_copied_to_other_devices(small, tmp_path):
    """nn.DataParallel would take a compiled model's layers away."""
    small["trainer"]["compile"] = True
    with pytest.raises(UserError, match="compile does not go with 2 devices in one process"):
        build(small, tmp_path, [CPU, CPU])


class InThreads(nn.Module):
    """Runs a model as nn.DataParallel does, without a GPU.

    As torch.nn.parallel.parallel_apply has it, a thread is told whether mixed precision is on; its
    dtype is the thread's own.
    """

    def __init__(self, module: nn.Module, _: list):
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        results = []
        enabled = torch.is_autocast_enabled("cpu")

        def work() -> None:
            with torch.autocast("cpu", enabled=enabled):
                results.append(self.module(image))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return results[0]


def test_replicas_compute_in_the_precision_asked_for(small, tmp_path, monkeypatch):
    """A thread's own is bf16 on the CPU and fp16 on a GPU; so ask for the other here."""
    monkeypatch.setattr(nn, "DataParallel", InThreads)
    small["trainer"]["amp"] = "fp16"
    trainer = build(small, tmp_path, [CPU, CPU])
    found = set()
    trainer.model.hidden.register_forward_hook(lambda _, __, out: found.add(out.dtype))
    trainer.try_step()
    assert found == {torch.float16}


@needs_gpu
def test_a_float16_run_on_a_gpu_goes_on_to_the_bit(small, tmp_path, monkeypatch):
    """The reported loss aside: CUDA sums it in no fixed order, which no gradient comes from."""
    small["arch"]["args"]["norm"] = True
    small["n_gpu"] = 1
    small["train_loader"]["args"]["length"] = 20
    small["trainer"] |= {
        "amp": "fp16",
        "clip_grad_norm": 1.0,
        "ema_decay": 0.9,
        "deterministic": True,
        "save_every_iterations": 4,
    }
    whole = train_run(small, tmp_path)
    small["name"] = "broken"
    broken, went_on_from = killed_and_resumed(small, tmp_path, monkeypatch, at=15)
    assert went_on_from == 12
    states = [checkpoint.load(run / "last.pth") for run in (whole, broken)]
    assert states[0]["scaler"]["scale"] > 0
    for key in ("state_dict", "optimizer", "lr_scheduler", "scaler", "ema", "sampler"):
        assert same(states[0][key], states[1][key]), key


@needs_gpu
def test_two_replicas_train_as_one_model(small, tmp_path, monkeypatch):
    """Each has one image of a batch of two; both may be on one GPU."""
    small["n_gpu"] = 1
    one = train_run(small, tmp_path)
    devices = [torch.device("cuda", 0), torch.device("cuda", torch.cuda.device_count() - 1)]
    monkeypatch.setattr(train, "choose_devices", lambda *_: devices)
    small["name"] = "parallel"
    two = train_run(small, tmp_path)
    assert weights(one).keys() == weights(two).keys()
    for key, value in weights(one).items():
        torch.testing.assert_close(weights(two)[key], value, rtol=1e-3, atol=1e-4)
