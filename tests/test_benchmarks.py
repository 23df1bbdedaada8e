"""The benchmarks keep step with the code they measure."""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import nn

ROOT = Path(__file__).parent.parent

NAMES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_imports(name):
    try:
        importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:
        peers = (ROOT / "benchmarks" / "requirements.txt").read_text()
        if (error.name or "").replace("_", "-") not in peers.replace(".", "-").replace("_", "-"):
            raise
        pytest.skip(f"{error.name} of benchmarks/requirements.txt is not installed")


def test_memory_kept_for_the_backward_pass(monkeypatch):
    from benchmarks import models

    def small(name, backbone):  # its convolution keeps the image's 3 planes, ReLU its own 8
        return nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(inplace=True))

    monkeypatch.setitem(models.SIDES, "ours", small)
    args = argparse.Namespace(backbone="", device="cpu", size=64, batch=2)
    assert models.kept_for_backward("", "ours", args) == 2 * (3 + 8) * 64 * 64 * 4 / 2**20


def test_every_other_round_goes_backward(monkeypatch):
    from benchmarks import models

    seen = []
    monkeypatch.setattr(models, "seconds", lambda work, device: work())
    works = [lambda: seen.append("a") or 1, lambda: seen.append("b") or 2]
    assert models.alternate(works, 2, "cpu") == [[1, 1], [2, 2]]
    assert "".join(seen) == "abbaab"


def test_rate_of_a_folder(tmp_path):
    from benchmarks.inference import CLASSES, folder_rate, photos, untrained
    from models import MODELS

    photos(tmp_path / "in", 2, (64, 64))
    model = MODELS.build("ENet", out_channels=CLASSES).eval()
    assert folder_rate(untrained(model, "cpu"), tmp_path / "in", tmp_path / "out") > 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["000.png", "001.png"]


def test_saved_maps_of_the_clustering(tmp_path, capsys):
    from benchmarks.clustering import Exact, measure, ours, saved_maps, thinned
    from utils.embeddings_file import add_datasets, write_embeddings

    truth = np.zeros((60, 100), np.int32)
    truth[10:30, 10:40], truth[10:30, 60:90], truth[50:] = 1, 2, -1
    centres = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]] * 3
    noise = 0.05 * np.random.default_rng(0).normal(size=(3, *truth.shape)).astype(np.float32)
    path = tmp_path / "a_predictions.h5"
    embedding = {"embeddings1": centres[truth].transpose(2, 0, 1) + noise}
    inside = (truth > 0).astype(np.uint8)
    write_embeddings(path, np.zeros((*truth.shape, 3), np.uint8), embedding, inside)
    add_datasets(path, {"gt": truth})
    whole = saved_maps(tmp_path)
    small = [thinned(each, 50) for each in whole]
    assert [tuple(m[0].shape[2:]) for m in (*whole, *small)] == [(60, 100), (30, 50)]

    class Parts:
        def fit_predict(self, pixels):
            return pixels.argmax(1) - 1  # background, of which there is none here, is noise

    for labeler in (ours("MeanShift", 0.5), Exact(Parts())):
        for maps in (whole, small):
            assert measure("", labeler, maps, "cpu")[1] == 1.0


@pytest.mark.slow
def test_a_kill():
    words = [sys.executable, "benchmarks/faults.py", "--kills", "1", "--workers", "0"]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert "0 kills left" in ended.stdout and "different: nothing" in ended.stdout


def test_few_rounds_have_a_spread():
    """The outermost ratios are left out where others are left."""
    from benchmarks.models import spread

    assert spread([2.0], [1.0]) == "2.00 (2.00 to 2.00)"
    assert spread([1.0, 3.0], [1.0, 1.0]) == "2.00 (1.00 to 3.00)"
    assert spread([9.0, 1.0, 2.0, 3.0, 0.1], [1.0] * 5) == "2.00 (1.00 to 3.00)"
