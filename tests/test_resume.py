"""Going on: which run, with which rows and points, and from what it is refused."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from processes import group_normed, run_many, train_words  # noqa: F401 - one is a fixture
from test_faults import assert_ends_alike, scalars
from test_train import newest_run, train_run, write

from base.base_trainer import BaseTrainer
from utils import checkpoint
from utils.errors import UserError


def killed_between_row_and_checkpoint(path: str) -> None:
    """Stopped in the first validation; resumed, and killed as the second one's is to be saved."""
    validate, save = BaseTrainer._validate, BaseTrainer._save

    def stopping(self, progress):
        os.kill(os.getpid(), signal.SIGTERM)
        return validate(self, progress)

    def dying(self, *names):
        self.folder.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    if not list(Path(path).parent.glob("saved/broken/*")):
        BaseTrainer._validate = stopping
    else:
        BaseTrainer._save = dying
    try:
        train_words("-c", path, "-r", "auto")
    finally:
        BaseTrainer._validate, BaseTrainer._save = validate, save


def test_a_validation_that_was_not_saved_is_not_kept_twice(run, tmp_path):
    """Neither its row nor its points, and the training point before it stays."""
    whole = train_run(run, tmp_path)
    run["name"] = "broken"
    path = write(run, tmp_path / "broken.json")
    for code in (143, None):
        ended = run_many(1, tmp_path, killed_between_row_and_checkpoint, path)
        assert [one[0] for one in ended] == [code]
    assert (newest_run(run) / "metrics.csv").is_file()
    train_words("-c", path, "-r", "auto")
    assert_ends_alike(whole, newest_run(run))


def test_a_run_that_is_through_keeps_its_config(tiny, tmp_path, capsys):
    """Nothing is trained under the other."""
    last = train_run(tiny, tmp_path) / "last.pth"
    before = (last.parent / "config.json").read_text()
    capsys.readouterr()
    train_words("-r", str(last), "--set", "optimizer.args.lr=0.5")
    said = capsys.readouterr().out
    assert "all 6 iterations are trained; for more, raise trainer.epochs" in said
    assert "learning rate" not in said and (last.parent / "config.json").read_text() == before


def test_auto_clears_what_a_run_without_a_checkpoint_left(tiny, tmp_path, capsys):
    path = write(tiny, tmp_path / "tiny.json")
    left = tmp_path / "saved" / "tiny" / "2026-01-01_00-00-00" / "best_model.pth.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    train_words("-c", path, "-r", "auto")
    assert "starts afresh" in capsys.readouterr().out and not left.exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("trainer.smoke=true", "trainer.smoke: true, not false"),
        ("trainer.overfit_batches=1", "trainer.overfit_batches: 1, not 0"),
        ("arch.type=GroupNormed", 'arch.type: "GroupNormed", not "ENet"'),
    ],
)
def test_auto_passes_over_another_configs_run(change, says, tiny, tmp_path, capsys):
    other = train_run(tiny, tmp_path, "--set", change)
    capsys.readouterr()
    own = train_run(tiny, tmp_path, "-r", "auto")
    said = capsys.readouterr().out
    assert f"{other} is of another config ({says})" in said and "starts afresh" in said
    assert said.count("is of another config") == 1  # once for all files of its folder
    assert own != other and checkpoint.load(own / "last.pth")["iteration"] == 6


@pytest.mark.parametrize("schedule", ["Poly", "OneCycle"])
def test_smoke_has_the_schedule_of_the_whole_run(schedule, tiny, tmp_path):
    """A warm-up longer than its two steps; the rates are those of the run's first steps."""
    tiny["lr_scheduler"] = {"type": "Poly", "args": {"warmup_steps": 4}}
    if schedule == "OneCycle":
        tiny["lr_scheduler"] = {"type": "OneCycle"}
    tiny["trainer"] |= {"epochs": 3, "tensorboard": True, "log_per_iter": 1}
    whole = rates(train_run(tiny, tmp_path))
    tiny["name"] = "smoke"
    tiny["trainer"]["smoke"] = True
    smoke = rates(train_run(tiny, tmp_path))
    assert smoke == whole[:2] and len(whole) == 9


def rates(folder: Path) -> list[float]:
    (tag,) = [tag for tag in scalars(folder) if tag.startswith("train/lr")]
    return [value for _, value in scalars(folder)[tag]]


def no_sampler(state: dict) -> None:
    state["sampler"] = {}


def text_for_random_numbers(state: dict) -> None:
    state["rng"] = [{"python": "x"}]


def short_random_state(state: dict) -> None:
    state["rng"][0]["torch"] = torch.zeros(3, dtype=torch.uint8)


def no_config(state: dict) -> None:
    state["config"] = None


@pytest.mark.parametrize(
    "spoil", [no_sampler, text_for_random_numbers, short_random_state, no_config]
)
def test_a_checkpoint_with_a_damaged_part_is_a_sentence(
    spoil: Callable[[dict], None], tiny, tmp_path
):
    last = train_run(tiny, tmp_path) / "last.pth"
    state = checkpoint.load(last)
    spoil(state)
    torch.save(state, last)
    with pytest.raises(UserError, match="a part of it is not as expected .*; take an earlier"):
        train_words("-c", str(tmp_path / "tiny.json"), "-r", str(last))


@pytest.mark.parametrize(
    "text", ["epoch;iteration;lr\n1;4;x\n", "epoch,iteration\n1,x\n", "a\n1\n"]
)
def test_a_foreign_table_is_a_sentence(text, tiny, tmp_path):
    table = train_run(tiny, tmp_path) / "metrics.csv"
    table.write_text(text)
    with pytest.raises(UserError, match="is no table that a run here writes.*move it away"):
        train_words("-c", str(tmp_path / "tiny.json"), "-r", "auto")
    assert table.read_text() == text
