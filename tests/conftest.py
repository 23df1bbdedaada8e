"""What all tests share."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

# tests run side by side, and runs in processes of their own are compared to the bit
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

import inference
import train
from utils.logger import start_logging

DATA = Path(__file__).parent.parent.parent / "shared" / "data"

TINY = {
    "name": "tiny",
    "arch": {"type": "ENet", "args": {}},
    "train_loader": {
        "type": "Shapes",
        "args": {
            "length": 6,
            "size": 32,
            "batch_size": 2,
            "shuffle": True,
            "augment": True,
            "flip": True,
            "scale": False,
        },
    },
    "val_loader": {"type": "Shapes", "args": {"split": "val", "length": 3, "size": 32}},
    "loss": "CrossEntropy",
    "optimizer": {"type": "SGD", "args": {"lr": 0.01, "momentum": 0.9}},
    "lr_scheduler": {"type": "Poly"},
    "trainer": {"epochs": 2, "tensorboard": False},
}


def trained(folder: Path, **changes) -> Path:
    """The last checkpoint of a run of TINY for one epoch, with other sections."""
    config = {**TINY, **changes}
    config["trainer"] = {**config["trainer"], "epochs": 1, "save_dir": str(folder)}
    (folder / "config.json").write_text(json.dumps(config))
    train.main(train.parse(["-d", "cpu", "-c", str(folder / "config.json")]))
    return next(folder.glob("tiny/*/last.pth"))


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A checkpoint of two steps: classes background, disc, square, triangle."""
    return trained(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def predict(model) -> inference.Predict:
    return inference.load(model)


@pytest.fixture(autouse=True)
def voice():
    """Commands called in process speak as they do from the shell."""
    start_logging()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test sees what another, or the user, has cached."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def tiny(tmp_path) -> dict:
    """A config that trains in a second, into the test's folder."""
    config = copy.deepcopy(TINY)
    config["trainer"]["save_dir"] = str(tmp_path / "saved")
    return config


@pytest.fixture
def run(tiny) -> dict:
    """A run of twelve batches in three epochs, saved after every second one."""
    tiny["n_gpu"] = 0
    tiny["arch"] = {"type": "GroupNormed", "args": {"dropout": 0.3}}
    tiny["train_loader"]["args"]["length"] = 8
    tiny["trainer"] |= {
        "epochs": 3,
        "save_every_iterations": 2,
        "deterministic": True,
        "tensorboard": True,
        "log_per_iter": 1,
    }
    return tiny


@pytest.fixture
def real_data() -> Path:
    """The folder of real samples; tests that need it are skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no real data in {DATA}")
    return DATA


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """What a test printed, with names that are no UTF-8 escaped: workers cannot send them."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report
