"""Training: it learns, it resumes to the bit, it stops well, it leaves what it promises."""

from __future__ import annotations

import copy
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import evaluate
import inference
import train
from trainer import TRAINERS
from utils import checkpoint
from utils.config import override
from utils.image_io import read_image, read_label, write_png
from utils.interrupt import Interrupted
from utils.metrics import METRICS

ROOT = Path(__file__).parent.parent


def write(config: dict, path: Path) -> str:
    path.write_text(json.dumps(config))
    return str(path)


def train_run(config: dict, tmp_path: Path, *words: str) -> Path:
    """Train a config; its run folder."""
    path = write(config, tmp_path / f"{config['name']}.json")
    train.main(train.parse(["-c", path, *words]))
    return newest_run(config)


def newest_run(config: dict) -> Path:
    runs = Path(config["trainer"]["save_dir"]) / config["name"]
    return max(runs.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def same(a, b) -> bool:
    """Equal to the bit, through dicts and lists."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (a != a and b != b)


def rows(run: Path) -> list[dict]:
    with open(run / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_what_it_promises(tiny, tmp_path):
    tiny["trainer"] |= {"save_period": 1, "tensorboard": True}
    run = train_run(tiny, tmp_path)
    names = {path.name for path in run.iterdir()}
    assert {
        "config.json",
        "log.txt",
        "metrics.csv",
        "last.pth",
        "best_model.pth",
        "checkpoint-epoch1.pth",
        "checkpoint-epoch2.pth",
    } <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert not [name for name in names if name.endswith(".part")]
    state = checkpoint.load_run(run / "last.pth")
    assert {
        "arch",
        "config",
        "classes",
        "palette",
        "normalization",
        "epoch",
        "iteration",
        "state_dict",
        "optimizer",
        "lr_scheduler",
        "scaler",
        "ema",
        "rng",
        "sampler",
        "monitor_best",
        "early_stop",
    } <= state.keys()
    assert (state["epoch"], state["iteration"]) == (2, 6)
    resolved = json.loads((run / "config.json").read_text())
    assert resolved["labeler"] == {"type": "Argmax", "args": {}}
    assert [row["iteration"] for row in rows(run)] == ["3", "6"]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_run_that_ends_inside_an_epoch_saves_its_end(stride, tiny, tmp_path):
    """Without validation, which else would have ended it; also after fewer updates than batches."""
    tiny["val_loader"] = None
    tiny["trainer"] |= {"epochs": None, "iterations": 4, "accumulate": stride, "save_period": 1}
    run = train_run(tiny, tmp_path)
    assert checkpoint.load(run / "last.pth")["iteration"] == 4
    assert not (run / "checkpoint-epoch2.pth").exists()  # of three batches each
    tiny["trainer"]["iterations"] = 2  # before any epoch has ended
    assert checkpoint.load(train_run(tiny, tmp_path) / "last.pth")["iteration"] == 2


def test_the_resolved_config_trains_the_same(tiny, tmp_path):
    first = train_run(tiny, tmp_path)
    second = copy.deepcopy(json.loads((first / "config.json").read_text()))
    second["name"] = "again"
    again = train_run(second, tmp_path)
    weights = [checkpoint.load(run / "last.pth")["state_dict"] for run in (first, again)]
    assert same(*weights)


SWITCHES = {
    "plain": {},
    "accumulate": {"trainer.accumulate": 2},
    "average": {"trainer.ema_decay": 0.9, "trainer.clip_grad_norm": 1.0},
    "bf16": {"trainer.amp": "bf16", "trainer.channels_last": True},
    "iterations": {
        "trainer.epochs": None,
        "trainer.iterations": 7,
        "trainer.val_every_iterations": 2,
    },
    "fp16": {"trainer.amp": "fp16"},
    "workers": {"train_loader.args.num_workers": 2},
    "adamw": {"optimizer": {"type": "AdamW", "args": {"lr": 0.01}}},
}


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=SWITCHES)
def test_a_resumed_run_equals_the_unbroken_one(switches, tiny, tmp_path, monkeypatch):
    """Stopped inside an epoch and gone on with: weights, optimizer, scores to the bit."""
    tiny["trainer"]["deterministic"] = True
    for key, value in switches.items():
        override(tiny, f"{key}={json.dumps(value)}")
    tiny["trainer"] = {k: v for k, v in tiny["trainer"].items() if v is not None}
    whole = train_run(tiny, tmp_path)

    tiny["name"] = "broken"
    stop_at(4, monkeypatch)
    with pytest.raises(Interrupted) as stop:
        train_run(tiny, tmp_path)
    monkeypatch.undo()
    broken = newest_run(tiny)
    assert str(broken / "last.pth") in str(stop.value)
    train.main(train.parse(["-r", str(broken / "last.pth")]))

    states = [checkpoint.load(run / "last.pth") for run in (whole, broken)]
    for key in (
        "state_dict",
        "optimizer",
        "lr_scheduler",
        "ema",
        "rng",
        "sampler",
        "iteration",
        "monitor_best",
        "report",
    ):
        assert same(states[0][key], states[1][key]), key
    assert rows(whole) == rows(broken)


def stop_at(iteration: int, monkeypatch) -> None:
    """Send SIGTERM to this process as that iteration begins."""
    step = TRAINERS["Trainer"].step

    def stopping(self, batch):
        if self.iteration + 1 == iteration:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batch)

    monkeypatch.setattr(TRAINERS["Trainer"], "step", stopping)


def test_a_run_stopped_in_its_validation_resumes(tiny, tmp_path, monkeypatch):
    whole = train_run(tiny, tmp_path)
    tiny["name"] = "broken"
    real = train.evaluate

    def stopping(model, *args, check, **more):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        return real(model, *args, check=check, **more)

    monkeypatch.setattr(train, "evaluate", stopping)
    with pytest.raises(Interrupted):
        train_run(tiny, tmp_path)
    monkeypatch.setattr(train, "evaluate", real)
    broken = newest_run(tiny)
    assert checkpoint.load(broken / "last.pth")["validated_at"] == 0
    train.main(train.parse(["-r", str(broken / "last.pth")]))
    assert rows(whole) == rows(broken)


def test_resume_auto_and_from_an_older_checkpoint(tiny, tmp_path, capsys):
    path = write(tiny, tmp_path / "tiny.json")
    train.main(train.parse(["-c", path, "-r", "auto"]))
    assert "starts afresh" in capsys.readouterr().out
    run = newest_run(tiny)
    tiny["trainer"]["epochs"] = 3
    train.main(train.parse(["-c", write(tiny, tmp_path / "tiny.json"), "-r", "auto"]))
    assert newest_run(tiny) == run, "the run goes on in its folder"
    assert "trainer.epochs: 2 -> 3" in capsys.readouterr().out
    assert [row["iteration"] for row in rows(run)] == ["3", "6", "9"]


def test_a_resumed_run_takes_its_rates_from_the_config(tiny, tmp_path):
    """Step 6 of 9 under lr 0.02: 0.02 * (1 - 6 / 9) ^ 0.9, where the old run had reached 0."""
    run = train_run(tiny, tmp_path)
    tiny["name"], tiny["trainer"]["epochs"] = "more", 3
    tiny["optimizer"]["args"]["lr"] = 0.02
    path = write(tiny, tmp_path / "more.json")
    start = train.choose_start(path, str(run / "last.pth"), [])
    updater = train.build(start, [torch.device("cpu")]).updater
    assert updater.lr == pytest.approx(0.02 * (1 - 6 / 9) ** 0.9)


def test_resume_under_a_new_config_makes_a_new_folder(tiny, tmp_path, capsys):
    run = train_run(tiny, tmp_path)
    tiny["name"], tiny["trainer"]["epochs"] = "more", 3
    other = train_run(tiny, tmp_path, "-r", str(run / "last.pth"))
    assert other.parent.name == "more" and len(rows(other)) == 1
    assert 'name: "tiny" -> "more"' in capsys.readouterr().out


def test_monitor_and_early_stop(tiny, tmp_path, monkeypatch):
    """Scores .5 .4 .3: the first is best, and after two worse ones the run ends."""
    scores = iter([0.5, 0.4, 0.3, 0.9])
    real = train.evaluate

    def scripted(*args, **more):
        return {**real(*args, **more), "Mean_IoU": next(scores)}

    monkeypatch.setattr(train, "evaluate", scripted)
    tiny["trainer"] |= {"epochs": 9, "early_stop": 2}
    run = train_run(tiny, tmp_path)
    assert checkpoint.load(run / "best_model.pth")["iteration"] == 3
    last = checkpoint.load(run / "last.pth")
    assert (last["iteration"], last["monitor_best"], last["early_stop"]) == (9, 0.5, 2)


def test_accumulation_equals_the_larger_batch(tiny, tmp_path):
    """Without batch statistics, two batches of 3 in one update are one batch of 6."""
    tiny["arch"]["args"] |= {"freeze_bn": True, "dropout": [0, 0]}
    tiny["train_loader"]["args"] |= {"batch_size": 6, "augment": False, "shuffle": False}
    tiny["trainer"]["clip_grad_norm"] = 1.0  # without its norms the net starts far off
    large = train_run(tiny, tmp_path)
    tiny["name"] = "small"
    tiny["train_loader"]["args"]["batch_size"] = 3
    tiny["trainer"]["accumulate"] = 2
    small = train_run(tiny, tmp_path)
    a, b = (checkpoint.load(run / "last.pth")["state_dict"] for run in (large, small))
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=1e-4, atol=1e-5)


def test_tensorboard_holds_terms_rates_scores_and_pictures(tiny, tmp_path):
    tiny["trainer"] |= {"tensorboard": True, "log_dir": str(tmp_path / "runs")}
    tiny["loss"] = ["CrossEntropy", {"type": "CrossEntropy", "weight": 0.5}]
    run = train_run(tiny, tmp_path)
    events = EventAccumulator(str(tmp_path / "runs" / "tiny" / run.name)).Reload()
    tags = events.Tags()
    assert {
        "train/loss",
        "train/ce",
        "train/ce#2",
        "train/lr_decoder",
        "train/Mean_IoU",
        "val/val_loss",
        "val/Mean_IoU",
        "val/IoU/disc",
    } <= set(tags["scalars"])
    assert tags["images"] == ["val/input_truth_prediction"]
    assert [event.step for event in events.Scalars("val/Mean_IoU")] == [3, 6]


def test_a_trainer_of_ones_own(tiny, tmp_path, monkeypatch):
    """Named by `trainer.type`; it changes the step and hears of every update."""
    calls = []

    class Doubled(TRAINERS["Trainer"]):
        """Twice the loss."""

        def step(self, batch):
            terms, outputs = super().step(batch)
            return {name: 2 * term for name, term in terms.items()}, outputs

        def after_update(self):
            calls.append(self.iteration)

    monkeypatch.setitem(TRAINERS._classes, "Doubled", Doubled)
    tiny["trainer"] |= {"type": "Doubled", "accumulate": 2}
    train_run(tiny, tmp_path)
    assert calls == [2, 3, 5, 6]  # no group reaches over the end of an epoch of 3


@pytest.mark.parametrize("kind", [np.float64, torch.tensor])
def test_a_metric_that_gives_no_plain_floats(kind, tiny, tmp_path, monkeypatch):
    """Its score is the best so far in every checkpoint, which must load all the same."""

    class Own(METRICS["IoU"]):
        """Scores of another type."""

        def compute(self):
            return {name: kind(score) for name, score in super().compute().items()}

    monkeypatch.setitem(METRICS._classes, "Own", Own)
    tiny["metric"] = {"type": "Own"}
    state = checkpoint.load(train_run(tiny, tmp_path) / "last.pth")
    assert type(state["monitor_best"]) is float


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels(channels, tiny, tmp_path):
    """Trained, previewed, scored and predicted."""
    rng = np.random.default_rng(0)
    for index in range(2):
        image = rng.integers(0, 255, (32, 32, channels), dtype=np.uint8).squeeze()
        write_png(tmp_path / "images" / f"{index}.png", image)
        write_png(tmp_path / "labels" / f"{index}.png", rng.integers(0, 2, (32, 32), np.uint8))
    tiny["arch"]["args"]["in_channels"] = channels
    args = {"data_dir": str(tmp_path), "classes": ["a", "b"], "channels": channels}
    tiny["train_loader"] = {
        "type": "Folder",
        "args": {**args, "normalize": "image", "batch_size": 2},
    }
    tiny["val_loader"] = {"type": "Folder", "args": args}
    tiny["trainer"]["tensorboard"] = True
    run = train_run(tiny, tmp_path)
    evaluate.main(evaluate.parse(["--model", str(run / "last.pth")]))
    assert (run / "evaluation_None" / "worst.png").is_file()


def test_accumulation_resumes_from_the_end_of_an_epoch(tiny, tmp_path):
    """Three batches an epoch in groups of two: no group reaches into the next epoch."""
    tiny["trainer"] |= {"accumulate": 2, "save_period": 1, "epochs": 3}
    whole = train_run(tiny, tmp_path)
    final = checkpoint.load(whole / "last.pth")
    assert final["lr_scheduler"] == {"step": 6}
    path = tmp_path / "epoch1.pth"
    path.write_bytes((whole / "checkpoint-epoch1.pth").read_bytes())
    train.main(train.parse(["-r", str(path)]))
    again = checkpoint.load(tmp_path / "last.pth")
    assert same(final["state_dict"], again["state_dict"])


def test_the_test_loader_is_the_test_split(tiny, tmp_path):
    tiny["test_loader"] = {"type": "Shapes", "args": {"split": "test", "length": 2, "size": 48}}
    run = train_run(tiny, tmp_path)
    words = ["--model", str(run / "last.pth"), "--split", "test"]
    predict = inference.load(run / "last.pth")
    section = evaluate.split_section(predict.config, "test", None)
    assert section["args"]["size"] == 48
    evaluate.main(evaluate.parse(words))
    assert (run / "evaluation_test" / "scores.json").is_file()


def test_a_changed_monitor_forgets_the_old_best(tiny, tmp_path):
    tiny["trainer"]["monitor"] = "min val_loss"
    run = train_run(tiny, tmp_path)
    tiny["name"] = "other"
    tiny["trainer"] |= {"monitor": "max Mean_IoU", "epochs": 3}
    other = train_run(tiny, tmp_path, "-r", str(run / "last.pth"))
    assert (other / "best_model.pth").is_file()
    assert checkpoint.load(other / "last.pth")["monitor_best"] < 1


def test_sigterm_to_the_whole_group_with_workers(tiny, tmp_path):
    """As schedulers send it: the workers leave it to the main process, which saves."""
    tiny["trainer"]["epochs"] = 500
    tiny["train_loader"]["args"]["num_workers"] = 1
    process = subprocess.Popen(
        [sys.executable, "train.py", "-c", write(tiny, tmp_path / "long.json")],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    for line in process.stdout:
        if "validation after" in line:
            break
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    checkpoint.load_run(newest_run(tiny) / "last.pth", resume=True)


def test_check_writes_nothing(tiny, tmp_path, capsys):
    train.main(train.parse(["-c", write(tiny, tmp_path / "c.json"), "--check"]))
    assert not Path(tiny["trainer"]["save_dir"]).exists()
    assert "are fine" in capsys.readouterr().out


def test_two_heads_in_one_run(tiny, tmp_path):
    for loader in ("train_loader", "val_loader"):
        tiny[loader]["args"]["target"] = "both"
    tiny["loss"] = [
        {"type": "CrossEntropy", "output": "semantic", "target": "semantic"},
        {"type": "CrossEntropy", "output": "second", "target": "semantic", "weight": 0.1},
    ]
    run = train_run(tiny, tmp_path)
    state = checkpoint.load(run / "last.pth")
    assert state["out_channels"] == {"semantic": 4, "second": 4}
    assert state["config"]["labeler"]["args"] == {"output": "semantic"}
    assert {"train_semantic_ce", "train_second_ce"} <= rows(run)[0].keys()
    assert inference.load(run / "last.pth")(np.zeros((40, 50, 3), np.uint8)).shape == (40, 50)


def test_evaluate_gives_the_validation_score(tiny, tmp_path):
    run = train_run(tiny, tmp_path)
    out = tmp_path / "scores"
    evaluate.main(evaluate.parse(["--model", str(run / "last.pth"), "--output", str(out)]))
    scores = json.loads((out / "scores.json").read_text())
    last = rows(run)[-1]
    assert scores["Mean_IoU"] == pytest.approx(float(last["Mean_IoU"]), abs=1e-6)
    assert {path.name for path in out.iterdir()} >= {"worst.png", "confusion_matrix.png"}


def test_inference_needs_the_checkpoint_alone(tiny, tmp_path):
    run = train_run(tiny, tmp_path)
    rng = np.random.default_rng(0)
    images = {"a": (45, 70), "deep/b": (33, 64)}
    for name, size in images.items():
        write_png(tmp_path / "in" / f"{name}.png", rng.integers(0, 255, (*size, 3), dtype=np.uint8))
    words = [
        "--model",
        str(run / "last.pth"),
        "--images",
        str(tmp_path / "in"),
        "--output",
        str(tmp_path / "out"),
    ]
    inference.main(inference.parse(words))
    predict = inference.load(run / "last.pth")
    for name, size in images.items():
        labels = predict(read_image(tmp_path / "in" / f"{name}.png"))
        assert labels.shape == size and labels.dtype == np.int64
        for suffix in (".png", "_ids.png"):
            assert np.array_equal(read_label(tmp_path / "out" / f"{name}{suffix}"), labels)
        assert (tmp_path / "out" / f"{name}_overlay.png").is_file()


def test_averaged_weights_are_the_ones_used(tiny, tmp_path):
    tiny["trainer"]["ema_decay"] = 0.5
    run = train_run(tiny, tmp_path)
    state = checkpoint.load(run / "last.pth")
    used = inference.load(run / "last.pth").model.state_dict()
    assert same(dict(used), dict(state["ema"]["state_dict"]))
    assert not same(dict(used), dict(state["state_dict"]))


def test_ctrl_c_in_a_real_process(tiny, tmp_path):
    tiny["trainer"]["epochs"] = 500
    path = write(tiny, tmp_path / "long.json")
    process = subprocess.Popen(
        [sys.executable, "train.py", "-c", path, "-d", "cpu"],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for line in process.stdout:
        if "validation after" in line:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with:\n  python train.py -d cpu -r " in errors and "Traceback" not in errors
    checkpoint.load_run(newest_run(tiny) / "last.pth")


@pytest.mark.slow
def test_the_quick_start_learns(tmp_path):
    train.main(train.parse(["--set", f"trainer.save_dir={tmp_path}"]))
    (run,) = (tmp_path / "quickstart").iterdir()
    assert checkpoint.load(run / "best_model.pth")["monitor_best"] >= 0.9


@pytest.mark.slow
def test_a_small_set_is_learnt_by_heart(tiny, tmp_path):
    tiny["arch"] = {"type": "UNet", "args": {"backbone": "resnet18"}}
    tiny["train_loader"]["args"] |= {"length": 4, "size": 64, "batch_size": 4, "augment": False}
    tiny["val_loader"]["args"] |= {"length": 4, "size": 64, "split": "train"}
    tiny["optimizer"] = {"type": "AdamW", "args": {"lr": 0.003}}
    tiny["trainer"] |= {"epochs": 120, "val_per_epochs": 40}
    run = train_run(tiny, tmp_path)
    assert checkpoint.load(run / "best_model.pth")["monitor_best"] > 0.97
