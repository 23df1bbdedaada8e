"""tools/export.py: a file that predicts what the checkpoint predicts."""

from __future__ import annotations

import errno
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import trained
from torch import nn

import evaluate
import inference
from tools import export
from utils.command import run
from utils.errors import UserError
from utils.image_io import read_label, write_png
from utils.inference.exported import MOST_IMAGES, Exported


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A checkpoint of two steps of a small U-Net, which is written in seconds."""
    unet = {"type": "UNet", "args": {"backbone": "resnet18", "decoder_channels": [16, 16, 16, 16]}}
    return trained(tmp_path_factory.mktemp("run"), arch=unet)


def write(model: Path, path: Path, *words: str) -> int:
    argv = ["-m", str(model), "-o", str(path), "--size", "64", "96", *words]
    return run(lambda: export.main(export.parse(argv)))


def photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    """But for a pixel in a thousand, where two scores may be equal to the last digit."""
    return a.shape == b.shape and (a != b).mean() < 1e-3


@pytest.fixture(params=[".pt2", ".onnx"])
def ending(request) -> str:
    if request.param == ".onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package, reason=f"{package} is optional and not installed")
    return request.param


def test_free_size_and_batch(model, tmp_path, ending, capsys):
    """Odd sizes, through the same code; the difference is printed, on real images too."""
    write_png(tmp_path / "in" / "a.png", photo(75, 130))
    words = ("--dynamic", "size", "batch", "--images", str(tmp_path / "in"))
    path = tmp_path / f"model{ending}"
    assert write(model, path, *words) == 0
    said = capsys.readouterr().out
    found = re.findall(r"(.+): largest difference (\S+), other labels at (\S+)%", said)
    assert [what.split(" of /")[0] for what, *_ in found] == [
        *("random images", "random images, 3 of 160x96", "1 images")
    ]
    assert all(float(most) < 1e-4 and float(changed) < 0.1 for _, most, changed in found)
    exported, original = inference.load(path), inference.load(model)
    assert exported.classes == original.classes and exported.palette == original.palette
    for size in ((75, 130), (64, 64), (201, 97)):
        assert alike(exported(photo(*size)), original(photo(*size)))
    for size in ((1, 1), (3, 90)):  # made up to two strides
        assert exported(photo(*size)).shape == size
    argv = ["-d", "cpu", "-m", str(path), "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert run(lambda: inference.main(inference.parse(argv))) == 0
    assert alike(read_label(tmp_path / "out" / "a_ids.png"), original(photo(75, 130)))


def test_more_than_a_free_size_allows():
    module = Exported(lambda image: {"out": image}, {"stride": 4, "size": None, "batch": None})
    with pytest.raises(UserError, match="exported for sides up to 2048; this is 2049x8"):
        module(torch.zeros(1, 3, 8, 2049))
    shapes = []
    module.run = lambda image: shapes.append(image.shape) or {"out": image}
    assert module(torch.ones(MOST_IMAGES + 1, 1, 3, 9))["out"].shape == (1025, 1, 3, 9)
    assert shapes == [(1024, 1, 8, 12), (1, 1, 8, 12)]


def test_pixels_in_labels_out_at_a_fixed_size(model, tmp_path, ending, capsys):
    path = tmp_path / f"model{ending}"
    assert write(model, path, "--pixels", "--labels", "--batch", "3") == 0
    exported, original = inference.load(path), inference.load(model)
    assert alike(exported(photo(64, 96)), original(photo(64, 96)))
    deep = photo(64, 96).astype(np.uint16) * 257
    assert alike(exported(deep), original(photo(64, 96)))
    assert exported.config["predictor"]["type"] == "Sliding"
    assert exported(photo(150, 200)).shape == (150, 200)
    assert exported(photo(20, 30)).shape == (20, 30)
    exported.use("Whole", [])
    with pytest.raises(Exception, match="--mode sliding --window 64,96"):
        exported(photo(150, 200))


def test_a_fixed_size_keeps_the_checkpoints_scales(model, tmp_path):
    """At half its size the image is smaller than the windows of 64x96."""
    state = torch.load(model)
    half = {"type": "MultiScale", "args": {"scales": [0.5], "flip": False}}
    state["config"]["predictor"] = half
    torch.save(state, tmp_path / "half.pth")
    assert write(tmp_path / "half.pth", tmp_path / "model.pt2") == 0
    exported, original = inference.load(tmp_path / "model.pt2"), inference.load(model)
    windows = {"type": "Sliding", "args": {"window": [64, 96]}}
    own = {**half, "args": {**half["args"], "predictor": windows}}
    assert exported.sections["predictor"] == own
    plain = original(photo(120, 180))
    original.use(own, [])
    assert alike(exported(photo(120, 180)), original(photo(120, 180)))
    assert not alike(exported(photo(120, 180)), plain)


class Same(nn.Module):
    """Gives its image back."""

    def forward(self, image):
        return {"out": image}


@pytest.mark.parametrize(
    ("value", "count", "refused"),
    [(1e-5, 1000, False), (0.5, 5, False), (0.5, 50, True), (math.nan, 1, True), (0, 0, False)],
)
def test_a_file_that_differs_is_refused(capsys, value, count, refused):
    """Rounding everywhere, ties at half a percent, a fault at five percent, one NaN, nothing."""
    image = torch.linspace(0, 1, 1000).view(1, 2, 20, 25)

    def exported(image):
        out = image.clone()
        out.view(-1)[:count] += value
        return {"out": out}

    if refused:
        with pytest.raises(UserError, match="the file does not give what the model gives"):
            export.report(Same(), exported, "random images", [image])
    else:
        export.report(Same(), exported, "random images", [image])
    said = capsys.readouterr().out
    assert f"largest difference {value if count else 0:.2g}," in said


def test_what_fails_the_check_is_not_kept(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "differences", lambda *_: (math.nan, 0.0, 0.0))
    assert write(model, tmp_path / "model.pt2") == 2
    assert "it is not kept" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.fixture(scope="module")
def decided(model) -> Path:
    """A file that gives labels, of a checkpoint whose metric reads scores."""
    state = torch.load(model)
    metric = {"type": "KittiRoad", "args": {}, "target": "semantic"}
    state["config"]["metric"] = [{"type": "IoU", "args": {}, "target": "semantic"}, metric]
    torch.save(state, model.parent / "road.pth")
    assert write(model.parent / "road.pth", model.parent / "labels.pt2", "--labels") == 0
    return model.parent / "labels.pt2"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--save probabilities", "gives no class scores"),
        ("--save ids confidence", "it was exported with --labels; leave probabilities, confidence"),
        (
            'ids --postprocess Threshold thresholds={"disc":0.5}',
            "the outputs with class scores are none",
        ),
    ],
)
def test_labels_are_no_scores(decided, tmp_path, capsys, words, says):
    write_png(tmp_path / "a.png", photo(64, 96))
    argv = ["-d", "cpu", "-m", str(decided), "-i", str(tmp_path / "a.png"), "--save"]
    argv += [*words.removeprefix("--save ").split(), "-o", str(tmp_path / "out")]
    assert run(lambda: inference.main(inference.parse(argv))) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_metric_of_scores_refuses_labels(decided, tmp_path, capsys):
    argv = ["-d", "cpu", "-m", str(decided), "-o", str(tmp_path / "out")]
    assert run(lambda: evaluate.main(evaluate.parse(argv))) == 2
    assert "labels.pt2 gives labels in place of scores" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        ("model.pth", (), "name a file that ends in .pt2 or .onnx"),
        ("gone/model.pt2", (), "there is no folder"),
        ("model.pt2", ("--images", "gone"), "--images gone: there is no such file or folder"),
        ("model.pt2", ("--images", __file__), "is not an image that can be read"),
        ("model.pt2", ("-m", "other.onnx"), "other.onnx is an exported file; give the checkpoint"),
    ],
)
def test_refused(model, tmp_path, monkeypatch, capsys, name, words, says):
    """Before anything is traced."""
    monkeypatch.setattr(export, "trace", None)
    assert write(model, tmp_path / name, *words) == 2
    assert says in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_full_disk(model, tmp_path, monkeypatch, capsys):
    def full(*_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert write(model, tmp_path / "model.pt2") == 2
    assert "cannot be written: No space left on device" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_each_images_own_statistics_stay_outside(model, tmp_path, capsys):
    state = torch.load(model)
    torch.save({**state, "normalization": {"mean": [], "std": []}}, tmp_path / "own.pth")
    assert write(tmp_path / "own.pth", tmp_path / "model.pt2", "--pixels") == 2
    assert "normalise outside" in capsys.readouterr().err


def test_a_damaged_file(tmp_path, ending, capsys):
    for content in (b"", b"no model at all"):
        path = tmp_path / f"model{ending}"
        path.write_bytes(content)
        argv = ["-d", "cpu", "-m", str(path), "-i", str(path), "-o", str(tmp_path / "out")]
        assert run(lambda: inference.main(inference.parse(argv))) == 2  # noqa: B023
        assert str(path) in capsys.readouterr().err
