"""Files that go bad during training: named, or replaced and counted."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

import evaluate
import train
from dataloaders import make_dataset, make_loader
from utils.command import run
from utils.errors import UserError
from utils.image_io import write_png


def loader(root: Path, bad: tuple[int, ...], training=True, **args):
    rng = np.random.default_rng(0)
    for index in range(8):
        write_png(root / "images" / f"{index}.png", rng.integers(0, 256, (20, 20, 3), np.uint8))
        write_png(root / "labels" / f"{index}.png", rng.integers(0, 2, (20, 20)).astype(np.uint8))
    common = {"data_dir": str(root), "classes": ["a", "b"], "batch_size": 2}
    section = {"type": "Folder", "args": {**common, **args}}
    dataset = make_dataset(section, None, training=training)
    for index in bad:
        (root / "images" / f"{index}.png").write_bytes(b"")
    return make_loader(section, dataset, training)


@pytest.mark.parametrize("workers", [0, 2])
def test_stop_names_the_file(tmp_path, workers):
    with pytest.raises(UserError, match=r"images/3.png is empty"):
        list(loader(tmp_path, (3,), num_workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_skip_takes_another_and_reports(tmp_path, caplog, workers):
    load = loader(tmp_path, (3, 4), on_error="skip", num_workers=workers)
    with caplog.at_level(logging.WARNING, "segforge"):
        batches = list(load)
    assert [len(batch["name"]) for batch in batches] == [2, 2, 2, 2]
    names = [name for batch in batches for name in batch["name"]]
    assert names[:3] == ["0", "1", "2"] and names[5:] == ["5", "6", "7"]
    assert not {"3", "4"} & {*names}
    assert "2 of the samples could not be read and others took their places" in caplog.text
    assert "3.png is empty" in caplog.text and "4.png is empty" in caplog.text


def test_the_other_sample_follows_from_seed_epoch_and_index(tmp_path):
    load = loader(tmp_path, (3, 4), on_error="skip")
    names, again, later = [], [], []
    for found, epoch in ((names, 0), (again, 0), (later, 1)):
        load.order.load({"epoch": epoch, "position": 0, "batches": 4})
        found += [name for batch in load for name in batch["name"]]
    assert names == again
    load.order.load({"epoch": 0, "position": 1, "batches": 4})
    assert [name for batch in load for name in batch["name"]] == names[2:]
    epochs = []
    for epoch in range(6):
        load.order.load({"epoch": epoch, "position": 1, "batches": 4})
        epochs.append(next(iter(load))["name"][1])
    assert len({*epochs}) > 1, "another epoch draws another"


def test_validation_leaves_it_out(tmp_path, caplog):
    load = loader(tmp_path, (2, 3, 4), training=False, on_error="skip")
    with caplog.at_level(logging.WARNING, "segforge"):
        batches = list(load)
    assert [[item["name"] for item in batch] for batch in batches] == [
        ["0", "1"],
        ["5"],
        ["6", "7"],
    ]
    assert "3 of the samples could not be read and were left out of the scores" in caplog.text


def test_long_reports_are_cut(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "segforge"):
        list(loader(tmp_path, (0, 1, 2, 3, 4), on_error="skip"))
    assert "; and 2 more" in caplog.text and "3.png" not in caplog.text


def test_nothing_that_can_be_read(tmp_path):
    with pytest.raises(UserError, match="is empty"):
        list(loader(tmp_path, tuple(range(8)), on_error="skip"))


def test_no_report_without_a_problem(tmp_path, caplog):
    batches = list(loader(tmp_path, (), on_error="skip"))
    assert not caplog.text and torch.is_tensor(batches[0]["image"])


# --- files that are bad from the start ------------------------------------------------------------


@pytest.fixture
def start(tmp_path, tiny, caplog):
    """Runs train.py on a folder whose images are bad from the start; gives code and log."""

    def call(bad: tuple[int, ...], on_error: str, spoil=lambda root: None) -> tuple[int, str]:
        loader(tmp_path, ())
        for index in bad:
            (tmp_path / "images" / f"{index}.png").write_bytes(b"")
        spoil(tmp_path)
        args = {"data_dir": str(tmp_path), "classes": ["a", "b"], "on_error": on_error}
        tiny["train_loader"] = {"type": "Folder", "args": {**args, "batch_size": 2}}
        tiny["val_loader"] = {"type": "Folder", "args": args}
        tiny["trainer"]["epochs"] = 1
        path = tmp_path / "config.json"
        path.write_text(json.dumps(tiny))
        caplog.clear()
        words = ["-d", "cpu", "-c", str(path)]
        with caplog.at_level(logging.WARNING, "segforge"):
            code = run(lambda: train.main(train.parse(words)))
        return code, caplog.text

    return call


def test_a_run_goes_on_without_files_that_are_bad_from_the_start(start, tmp_path):
    code, said = start((0, 5), "skip")
    assert code == 0
    assert "Folder: 2 of 8 samples are skipped" in said and "0.png is empty" in said
    assert "others took their places" in said and "were left out of the scores" in said
    (last,) = tmp_path.glob("saved/tiny/*/last.pth")
    assert run(lambda: evaluate.main(evaluate.parse(["-m", str(last), "-d", "cpu"]))) == 0


def test_a_run_stops_at_them_without_skip(start, capfd):
    assert start((0, 5), "stop")[0] == 2
    said = capfd.readouterr().err
    assert "Folder: 2 problems in" in said and "0.png is empty" in said and "None" not in said


def test_other_faults_stop_a_run_that_skips(start, capfd):
    def spoil(root):
        write_png(root / "labels" / "3.png", np.full((20, 20), 7, np.uint8))

    assert start((0,), "skip", spoil)[0] == 2
    said = capfd.readouterr().err
    assert "1 problem in" in said and "label value 7" in said and "0.png" not in said


def test_a_run_stops_where_nothing_can_be_read(start, capfd):
    assert start(tuple(range(8)), "skip")[0] == 2
    assert "8 problems in" in capfd.readouterr().err
