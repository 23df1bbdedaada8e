"""Losses and gradients that are not finite: the run stops and names them, or leaves them out."""

from __future__ import annotations

import math

import pytest
import torch
from processes import group_normed  # noqa: F401 - a fixture
from test_faults import scalars
from test_train import newest_run, train_run

from trainer import TRAINERS
from utils import checkpoint
from utils.errors import UserError


def poison(monkeypatch, *at: int) -> None:
    """Let the images of these batches be infinite."""
    step = TRAINERS["Trainer"].step

    def poisoned(self, batch):
        if self.iteration + 1 in at:
            batch["image"] = batch["image"] * math.inf
        return step(self, batch)

    monkeypatch.setattr(TRAINERS["Trainer"], "step", poisoned)


def test_a_loss_that_is_not_finite_stops_with_its_batch(run, tmp_path, monkeypatch):
    poison(monkeypatch, 5)
    with pytest.raises(UserError) as error:
        train_run(run, tmp_path)
    text, folder = str(error.value), newest_run(run)
    assert text.startswith("the loss term 'ce' is nan")
    assert "at iteration 5, on the batch train_" in text and "go on with" in text
    batch = torch.load(folder / "debug_batch.pt", weights_only=True)
    assert batch["iteration"] == 5 and not batch["image"].isfinite().all()
    assert all(name in text for name in batch["name"]) and math.isnan(batch["terms"]["ce"])
    assert checkpoint.load(folder / "last.pth")["iteration"] == 4


def test_a_step_that_is_not_finite_is_skipped_and_counted(run, tmp_path, monkeypatch, capsys):
    """One update of twelve is left out; the schedule and the average do not hear of it."""
    run["trainer"] |= {"on_nan": "skip", "ema_decay": 0.9}
    poison(monkeypatch, 5)
    state = checkpoint.load(train_run(run, tmp_path) / "last.pth")
    assert "iteration 5: the loss term 'ce' is nan" in capsys.readouterr().out
    assert state["iteration"] == 12 and state["ema"]["updates"] == 11
    assert state["lr_scheduler"] == {"step": 11}
    assert all(w.isfinite().all() for w in state["state_dict"].values())


def test_a_float16_step_that_is_not_finite_is_skipped(run, tmp_path, monkeypatch):
    run["trainer"] |= {"on_nan": "skip", "amp": "fp16"}
    poison(monkeypatch, 5)
    state = checkpoint.load(train_run(run, tmp_path) / "last.pth")
    assert state["iteration"] == 12 and state["lr_scheduler"] == {"step": 11}
    assert state["scaler"]["scale"] == 2**15  # once halved


def test_batch_norm_keeps_its_statistics_when_a_step_is_skipped(run, tmp_path, monkeypatch):
    run["arch"] = {"type": "ENet", "args": {}}
    run["trainer"] |= {"on_nan": "skip", "epochs": 1}
    poison(monkeypatch, 2)
    state = checkpoint.load(train_run(run, tmp_path) / "last.pth")
    assert all(w.isfinite().all() for w in state["state_dict"].values() if w.is_floating_point())


def test_a_step_that_float16_leaves_out_moves_no_schedule(run, tmp_path, monkeypatch):
    """The scaler starts at 65536, which a loss of a million overflows: the first updates wait."""
    run["trainer"] |= {"amp": "fp16", "ema_decay": 0.9}
    run["loss"] = {"type": "CrossEntropy", "weight": 1e6}
    run["optimizer"] = {"type": "SGD", "args": {"lr": 1e-9}}
    state = checkpoint.load(train_run(run, tmp_path) / "last.pth")
    skipped = round(16 - math.log2(state["scaler"]["scale"]))
    assert skipped > 0
    assert state["ema"]["updates"] == state["lr_scheduler"]["step"] == 12 - skipped


def bad_gradient(monkeypatch, *at: int) -> None:
    """Let these steps have a finite loss whose gradient is not: the root's slope at 0 times 0."""
    step = TRAINERS["Trainer"].step

    def wrapped(self, batch):
        terms, outputs = step(self, batch)
        if self.iteration + 1 in at:
            slope = (0 * outputs["out"].float()).sum().sqrt()
            terms = {name: term + 0 * slope for name, term in terms.items()}
        return terms, outputs

    monkeypatch.setattr(TRAINERS["Trainer"], "step", wrapped)


def test_a_gradient_that_is_not_finite_names_all_batches_of_its_group(run, tmp_path, monkeypatch):
    run["trainer"]["accumulate"] = 4
    bad_gradient(monkeypatch, 2)
    with pytest.raises(UserError, match="^the gradient's norm is nan at iteration 4") as error:
        train_run(run, tmp_path)
    batch = torch.load(newest_run(run) / "debug_batch.pt", weights_only=True)
    assert sorted(batch["group"]) == [f"train_{i:04d}" for i in range(8)]
    assert all(name in str(error.value) for name in batch["group"])


@pytest.mark.parametrize("amp", [False, "fp16"])
@pytest.mark.parametrize("spoil", [poison, bad_gradient])
def test_a_group_with_a_batch_that_is_not_finite_is_left_out(
    spoil, amp, run, tmp_path, monkeypatch, capsys
):
    """Batch 6 is of the second group of four: only the first and the third move the weights."""
    run["trainer"] |= {"accumulate": 4, "on_nan": "skip", "ema_decay": 0.9, "amp": amp}
    updates = []
    monkeypatch.setattr(
        TRAINERS["Trainer"], "after_update", lambda self: updates.append(self.iteration)
    )
    spoil(monkeypatch, 6)
    folder = train_run(run, tmp_path)
    state = checkpoint.load(folder / "last.pth")
    assert updates == [4, 12]
    assert state["ema"]["updates"] == state["lr_scheduler"]["step"] == 2
    assert all(w.isfinite().all() for w in state["state_dict"].values())
    assert capsys.readouterr().out.count("skipped (1 so far)") == state["report"]["skipped"] == 1


def test_an_epoch_of_skipped_steps_has_no_loss(run, tmp_path, monkeypatch, capsys):
    run["trainer"]["on_nan"] = "skip"
    poison(monkeypatch, 5, 6, 7, 8)
    train_run(run, tmp_path)
    said = capsys.readouterr().out
    assert "epoch 2/3: loss -, 0.0 img/s" in said and "epoch 3/3: loss -" not in said


def test_a_skipped_step_has_no_point(run, tmp_path, monkeypatch):
    run["trainer"]["on_nan"] = "skip"
    poison(monkeypatch, 5)
    curve = scalars(train_run(run, tmp_path))["train/loss"]
    assert [step for step, _ in curve] == [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]


def test_skipped_steps_are_counted_over_a_resume(run, tmp_path, monkeypatch, capsys):
    run["trainer"]["on_nan"] = "skip"
    poison(monkeypatch, 5)
    train_run(run, tmp_path)
    run["trainer"]["epochs"] = 4
    poison(monkeypatch, 14)
    train_run(run, tmp_path, "-r", "auto")
    assert (
        "iteration 14: the loss term 'ce' is nan" in capsys.readouterr().out.split("(2 so far)")[0]
    )


def test_a_gradient_that_never_fits_float16_stops_the_run(run, tmp_path, monkeypatch, capsys):
    """The scale is halved by each of twenty updates that are left out."""
    run["trainer"] |= {"amp": "fp16", "epochs": 6}
    bad_gradient(monkeypatch, *range(3, 100))
    with pytest.raises(UserError) as error:
        train_run(run, tmp_path)
    text, said = str(error.value), capsys.readouterr().out
    assert text.startswith(
        "float16 left out 20 updates in a row, the gradient's norm is nan at iter"
    )
    assert "iteration 22" in text and 'set trainer.amp to "bf16" or false' in text
    assert "goes to 32768, on train_" in said and "skipped (19 so far)" in said


def test_updates_that_float16_leaves_out_are_counted_where_they_are_skipped(
    run, tmp_path, monkeypatch
):
    run["trainer"] |= {"amp": "fp16", "epochs": 6, "on_nan": "skip"}
    bad_gradient(monkeypatch, *range(3, 100))
    state = checkpoint.load(train_run(run, tmp_path) / "last.pth")
    assert state["report"]["skipped"] == 22 and state["lr_scheduler"] == {"step": 2}
