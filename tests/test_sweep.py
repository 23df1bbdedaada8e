"""A grid of runs: which points, their table, and going on after a stop."""

from __future__ import annotations

import math

import pytest
from processes import group_normed  # noqa: F401 - a fixture
from test_train import write

import train
from utils.command import run as exit_code
from utils.engine.sweep import grid, table, title
from utils.errors import UserError


def test_the_grid_is_every_combination():
    points = grid(["optimizer.args.lr=[0.1, 0.01]", "seed=[0, 1]"])
    assert points == [
        {"optimizer.args.lr": 0.1, "seed": 0},
        {"optimizer.args.lr": 0.1, "seed": 1},
        {"optimizer.args.lr": 0.01, "seed": 0},
        {"optimizer.args.lr": 0.01, "seed": 1},
    ]
    assert title(points[3]) == "lr=0.01_seed=1"
    assert title({"arch.args.decoder_channels": [1, 2], "loss": "a/b"}) == (
        "decoder_channels=-1,-2-_loss=-a-b"
    )


@pytest.mark.parametrize("text", ["lr", "lr=0.1", "lr=[]", "lr=[0.1", "=[1]"])
def test_a_sweep_written_otherwise_is_refused(text):
    with pytest.raises(UserError, match="write it as key.key="):
        grid([text])


def test_two_points_of_one_name_are_refused():
    """They would share a folder, and the second would go on with the first's run."""
    with pytest.raises(UserError, match="two points are called log_dir=-a-b;"):
        grid(['trainer.log_dir=["a b", "a/b"]'])
    with pytest.raises(UserError, match="two points are called seed=0;"):
        grid(["seed=[0, 0]"])


@pytest.mark.parametrize("key", ["name", "trainer.monitor"])
def test_a_key_of_the_sweeps_own_is_refused(key):
    with pytest.raises(UserError, match=f"^--sweep {key}: (each point gets|the points are compar)"):
        grid([f'{key}=["a", "b"]'])


@pytest.mark.parametrize("change", ["trainer.monitor=off", "trainer.val=false", "val_loader=null"])
def test_runs_without_a_score_are_not_compared(change, tiny, tmp_path):
    words = ["-c", write(tiny, tmp_path / "c.json"), "--set", change, "--sweep", "seed=[0,1]"]
    with pytest.raises(UserError, match="--sweep compares runs by their monitored score"):
        train.main(train.parse(words))
    assert not list(tmp_path.glob("saved/*"))


def test_every_point_of_a_sweep_is_checked(tiny, tmp_path, capsys):
    tiny["n_gpu"] = 0
    path = write(tiny, tmp_path / "c.json")
    train.main(train.parse(["-c", path, "--sweep", "optimizer.args.lr=[0.1,0.2]", "--check"]))
    said = capsys.readouterr().out
    assert said.count("one training step are fine") == 2 and "spread" not in said
    with pytest.raises(UserError, match="1 of 2 points failed: lr=-1"):
        train.main(train.parse(["-c", path, "--sweep", "optimizer.args.lr=[-1,0.2]", "--check"]))


def test_the_table_by_hand():
    """0.4 and 0.6 have the mean 0.5 and the deviation sqrt(0.02) = 0.1414."""
    found = [({"a.lr": 0.1, "seed": s}, score) for s, score in enumerate((0.4, 0.6))]
    lines = table([*found, ({"a.lr": 0.2, "seed": 0}, 0.25)], "Mean_IoU").splitlines()
    assert lines[0].split() == ["sweep", "runs", "Mean_IoU", "spread"]
    assert lines[1].split() == ["lr=0.1", "2", "0.5000", "0.1414"]
    assert lines[2].split() == ["lr=0.2", "1", "0.2500", "-"]
    undefined = [({"a.lr": 0.1, "seed": s}, score) for s, score in enumerate((0.4, math.nan))]
    assert table(undefined, "Mean_IoU").splitlines()[1].split() == ["lr=0.1", "2", "-", "-"]


def test_a_sweep_trains_each_point_once(tiny, tmp_path, capsys):
    tiny["n_gpu"] = 0
    tiny["arch"] = {"type": "GroupNormed", "args": {}}
    tiny["trainer"]["epochs"] = 1
    words = ["-c", write(tiny, tmp_path / "c.json"), "--sweep", "seed=[0,1]"]
    train.main(train.parse(words))
    first = capsys.readouterr().out
    assert "sweep 2 of 2: seed=1" in first and "all seeds" in first
    folders = sorted(tmp_path.glob("saved/*/*"))
    assert [folder.parent.name for folder in folders] == ["tiny_seed=0", "tiny_seed=1"]
    train.main(train.parse([*words, "--set", "n_gpu=1"]))
    second = capsys.readouterr().out
    assert sorted(tmp_path.glob("saved/*/*")) == folders
    assert "epoch 1/1" in first and "epoch 1/1" not in second
    assert first.splitlines()[-1] == second.splitlines()[-1]


def test_a_sweep_of_another_config_trains_anew(tiny, tmp_path, capsys):
    """The runs of the first keep their config, and each log tells of its own run alone."""
    tiny["n_gpu"] = 0
    tiny["arch"] = {"type": "GroupNormed", "args": {}}
    tiny["trainer"]["epochs"] = 1
    words = ["-c", write(tiny, tmp_path / "c.json"), "--sweep", "seed=[0,1]"]
    train.main(train.parse(words))
    first = {path: path.read_text() for path in tmp_path.glob("saved/*/*/config.json")}
    train.main(train.parse([*words, "--set", "optimizer.args.lr=0.001"]))
    said = capsys.readouterr().out
    assert "is of another config (optimizer.args.lr: " in said and said.count("epoch 1/1") == 4
    assert len(list(tmp_path.glob("saved/*/*/config.json"))) == 4
    assert all(path.read_text() == text for path, text in first.items())
    for path in first:
        lines = (path.parent / "log.txt").read_text().splitlines()
        seed = path.parent.parent.name[-1]
        assert lines[0].endswith(f"INFO sweep {int(seed) + 1} of 2: seed={seed}")
        assert len([line for line in lines if "INFO sweep " in line]) == 1


def test_a_point_that_cannot_be_trained_does_not_stop_the_others(tiny, tmp_path, capsys):
    tiny["n_gpu"] = 0
    tiny["trainer"]["epochs"] = 1
    tiny["arch"] = {"type": "GroupNormed", "args": {}}
    words = ["-c", write(tiny, tmp_path / "c.json"), "--sweep", "optimizer.args.lr=[-1,0.01]"]
    assert exit_code(lambda: train.main(train.parse(words))) == 2
    said = capsys.readouterr()
    assert "1 of 2 points failed: lr=-1" in said.err and "lr=0.01" in said.out
