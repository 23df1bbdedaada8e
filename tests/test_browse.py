"""tools/browse.py draws what the loader gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dataloaders import make_dataset, make_loader
from tools import browse
from utils.command import run
from utils.image_io import read_image
from utils.visualize import colorize

ROOT = Path(__file__).parent.parent
LINE = 240 + 20 + 6  # a picture of equal sides, its caption and a gap
VIEWS = [
    {"type": "Warp", "args": {"crop_size": 32, "flip": True}},
    {"type": "SecondView", "args": {"transforms": [{"type": "Noise"}]}},
]


@pytest.fixture
def sheet(tmp_path, tiny, capfd):
    """Runs the command on a config; gives exit code, picture and what was printed."""

    def call(*words: str, **changes) -> tuple[int, np.ndarray | None, str]:
        (tmp_path / "config.json").write_text(json.dumps({**tiny, **changes}))
        path = tmp_path / "sheet.png"
        path.unlink(missing_ok=True)
        argv = ["-c", str(tmp_path / "config.json"), "-o", str(path), *words]
        code = run(lambda: browse.main(browse.parse(argv)))
        picture = read_image(path) if path.is_file() else None
        return code, picture, "".join(capfd.readouterr())

    return call


def tile(picture: np.ndarray, line: int, column: int, across: int = 2) -> np.ndarray:
    """A picture of the sheet; columns are counted over all groups of `across` pictures."""
    left = 6 + column * 246 + column // across * 6
    top = 24 + line * LINE
    return picture[top : top + 240, left : left + 240]


def enlarged(picture: np.ndarray) -> np.ndarray:
    """32x32 as the sheet shows it: each pixel 7.5 wide."""
    places = np.arange(240) * 32 // 240
    return picture[places][:, places]


def test_the_sheet_holds_the_first_batches(sheet, tiny):
    code, picture, said = sheet("--count", "4", "--epoch", "1")
    assert code == 0 and "4 samples of train_loader drawn" in said
    assert picture.shape == (24 + 2 * LINE, 3 * (2 * 246 + 6), 3)
    section = tiny["train_loader"]
    dataset = make_dataset(section, None, training=True, seed=0)
    loader = make_loader(section, dataset, True, 0)
    loader.order.epoch = 1
    batch = next(iter(loader))
    for sample in range(2):
        shown = dataset.normalization.undo(batch["image"][sample])
        classes = colorize(batch["target"][sample].numpy(), dataset.palette)
        assert np.array_equal(tile(picture, 0, 2 * sample), enlarged(shown))
        assert np.array_equal(tile(picture, 0, 2 * sample + 1), enlarged(classes))


def test_epochs_differ_and_can_be_drawn_again(sheet):
    first, again, other = (sheet("--epoch", e)[1] for e in ("3", "3", "4"))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_an_epoch_may_be_shorter_than_the_sheet(sheet):
    code, picture, said = sheet("--count", "50")
    assert code == 0 and "6 samples of train_loader" in said


def test_one_sample_again_and_again(sheet, tiny):
    dataset = make_dataset(tiny["train_loader"], None, training=True, seed=0)
    name = dataset.entries[3].name
    code, picture, _ = sheet("--repeat", name, "--count", "3", "--epoch", "5")
    assert code == 0 and len(picture) == 24 + LINE
    for step in range(3):
        shown = dataset.normalization.undo(dataset[5 + step, 3]["image"])
        assert np.array_equal(tile(picture, 0, 2 * step), enlarged(shown))


def test_an_unknown_sample_is_refused(sheet):
    code, picture, said = sheet("--repeat", "nobody")
    assert code == 2 and picture is None
    assert "error: --repeat nobody: no sample has that name; the first is " in said


def test_second_views_and_both_targets(sheet, tiny):
    part = {"type": "Shapes", "args": {"length": 4, "size": 32, "target": "both", "batch_size": 2}}
    code, picture, said = sheet("--count", "1", train_loader=part, transforms=VIEWS)
    assert code == 0, said
    assert picture.shape[1] == 4 * 246 + 6
    views = [tile(picture, 0, column, 4).astype(int) for column in range(2)]
    assert 0 < np.abs(views[0] - views[1]).mean() < 40


def test_validation_is_not_augmented_and_in_order(sheet, tiny):
    code, picture, _ = sheet("--split", "val")
    dataset = make_dataset(tiny["val_loader"], None)
    for index, entry in enumerate(dataset.entries):
        assert np.array_equal(tile(picture, 0, 2 * index), enlarged(dataset.read(entry).image))


def test_as_a_command(tmp_path, tiny):
    (tmp_path / "config.json").write_text(json.dumps(tiny))
    words = ["tools/browse.py", "-c", tmp_path / "config.json", "--split", "test"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "has no test_loader" in done.stderr
    assert "Traceback" not in done.stderr


def test_real_samples(sheet, real_data):
    part = {"type": "CVPPP", "args": {"data_dir": str(real_data / "cvppp"), "batch_size": 2}}
    code, picture, said = sheet("--count", "3", train_loader=part, transforms=VIEWS)
    assert code == 0 and picture.shape == (24 + 2 * LINE, 2 * (3 * 246 + 6), 3), said


@pytest.mark.filterwarnings("error")
def test_no_worker_is_started_or_spoken_of(sheet, tiny):
    """torch warns of more workers than cores."""
    tiny["train_loader"]["args"]["num_workers"] = 999
    assert sheet("--count", "2")[0] == 0


def test_a_seed_out_of_range(sheet):
    code, picture, said = sheet("--set", "seed=-1")
    assert code == 2 and picture is None and "seed is -1; it is a whole number from 0" in said
