"""evaluate.py: what it leaves behind, and that its tables agree with its scores."""

from __future__ import annotations

import base64
import csv
import errno
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import TINY, trained

import evaluate
from dataloaders import Shapes
from utils.command import run
from utils.image_io import read_image
from utils.metrics import MetricGroup
from utils.normalization import Normalization
from utils.report.boundary_errors import BoundaryErrors
from utils.report.folder import in_words
from utils.report.gallery import Gallery
from utils.report.html import picture, table
from utils.tables import class_table, write_csv
from utils.visualize import compact

FILES = {
    *("scores.json", "scores.txt", "evaluation.json", "report.html"),
    *("classes.csv", "images.csv", "class_counts.csv", "boundary_errors.csv"),
    *("confusion_matrix.csv", "confusion_matrix_counts.csv"),
    *("confusion_matrix.png", "confusion_matrix_counts.png"),
    *("worst.png", "best.png", "examples.png"),
}


@pytest.fixture(scope="module")
def folder(model) -> Path:
    """What a plain evaluation of it leaves."""
    assert score(model, "-o", model.parent / "plain") == 0
    return model.parent / "plain"


def score(model: Path, *words: str | Path) -> int:
    """The exit code."""
    argv = [str(word) for word in ("-d", "cpu", "-m", model, *words)]
    return run(lambda: evaluate.main(evaluate.parse(argv)))


def rows(path: Path) -> list[dict]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_written(folder):
    assert {path.name for path in folder.iterdir()} == FILES
    about = json.loads((folder / "evaluation.json").read_text())
    assert about["predictor"] == "Whole" and about["postprocess"] == "none"
    assert about["config"]["arch"]["type"] == "ENet"


def test_the_tables_give_the_scores(folder):
    """IoU of each class, and of each image, from the counts that are written down."""
    scores = json.loads((folder / "scores.json").read_text())
    confusion = np.array(
        [list(row.values())[1:] for row in rows(folder / "confusion_matrix_counts.csv")], int
    )
    hits, truth, found = np.diagonal(confusion), confusion.sum(1), confusion.sum(0)
    counts = rows(folder / "class_counts.csv")
    for index, row in enumerate(rows(folder / "classes.csv")):
        union = truth[index] + found[index] - hits[index]
        expected = hits[index] / union
        assert float(row["IoU"]) == pytest.approx(expected)
        assert scores[f"IoU/{row['class']}"] == pytest.approx(expected)
        own = [c for c in counts if c["class"] == row["class"]]
        assert sum(int(c["hits"]) for c in own) == hits[index]
        assert sum(int(c["truth"]) for c in own) == truth[index]
    images = rows(folder / "images.csv")
    assert [row["image"] for row in images] == sorted({c["image"] for c in counts})
    first = [c for c in counts if c["image"] == images[0]["image"]]
    accuracy = sum(int(c["hits"]) for c in first) / sum(int(c["truth"]) for c in first)
    assert float(images[0]["Pixel_Accuracy"]) == pytest.approx(accuracy)
    shares = [list(row.values())[1:] for row in rows(folder / "confusion_matrix.csv")]
    np.testing.assert_allclose(np.array(shares, float), confusion / truth[:, None], atol=1e-6)


def test_errors_by_distance_add_up(folder):
    bands = rows(folder / "boundary_errors.csv")
    scores = json.loads((folder / "scores.json").read_text())
    pixels, wrong = (sum(int(band[key]) for band in bands) for key in ("pixels", "wrong"))
    assert wrong / pixels == pytest.approx(1 - scores["Pixel_Accuracy"])
    assert sum(float(band["share_of_errors"]) for band in bands) == pytest.approx(1)


class Links(HTMLParser):
    """Collects what a page would load, and whether its tags close."""

    def __init__(self):
        super().__init__()
        self.loads, self.open, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.loads += [value for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_report_needs_nothing_beside_itself(folder):
    text = (folder / "report.html").read_text()
    page = Links()
    page.feed(text)
    assert not page.open
    assert page.loads and all(load.startswith("data:image/") for load in page.loads)
    assert not re.search(r"https?://|@import|url\(", text)
    words = " ".join(page.text)
    for title in ("Classes", "Confusion", "Errors by distance", "Worst", "Best", "Every image"):
        assert title in words
    for row in rows(folder / "images.csv"):
        assert row["image"] in words
    pixels = base64.b64decode(page.loads[0].split(",")[1])
    assert cv2.imdecode(np.frombuffer(pixels, np.uint8), cv2.IMREAD_COLOR) is not None


def test_names_cannot_break_the_page():
    shown = table([["class", "IoU"], ['<b>&"x', 0.5], ["gone", None], ["nan", math.nan]], ["IoU"])
    assert "<b>" not in shown and "&lt;b&gt;&amp;&quot;x" in shown
    assert shown.count('data-value="">-</td>') == 2 and "--share:50.0%" in shown
    page = Links()
    page.feed(picture(np.zeros((4, 5, 3), np.uint8), '"<'))
    assert len(page.loads) == 1


def test_an_evaluation_is_replaced_whole(model, tmp_path, capsys):
    """No table of the earlier one stays, and what is somebody else's does."""
    out = tmp_path / "out"
    assert score(model, "-o", out) == 0
    (out / "notes.csv").write_text("mine")
    before = (out / "scores.json").read_bytes()
    assert score(model, "-o", out, "--flip") == 2
    said = capsys.readouterr().err
    assert "out is not empty: --overwrite replaces the evaluation in it" in said
    assert (out / "scores.json").read_bytes() == before
    about = json.loads((out / "evaluation.json").read_text())
    assert {*about["files"], "evaluation.json"} == FILES
    about["files"] += ["lanes.csv", "../kept.csv"]
    (out / "evaluation.json").write_text(json.dumps(about))
    (out / "lanes.csv").write_text("of the earlier one")
    (tmp_path / "kept.csv").write_text("outside")
    assert score(model, "-o", out, "--flip", "--overwrite") == 0
    assert {path.name for path in out.iterdir()} == FILES | {"notes.csv"}
    assert (tmp_path / "kept.csv").is_file() and (out / "scores.json").read_bytes() != before


def test_predictors_and_postprocessing(model, folder, tmp_path):
    """A flip changes the scores of a net that is not symmetric; every pixel of one class is 1/C."""
    words = ("--mode", "sliding", "--window", "32", "--flip")
    assert score(model, "-o", tmp_path / "flip", *words) == 0
    plain, flip = ((p / "scores.json").read_text() for p in (folder, tmp_path / "flip"))
    assert json.loads(plain)["Pixel_Accuracy"] != json.loads(flip)["Pixel_Accuracy"]
    about = json.loads((tmp_path / "flip" / "evaluation.json").read_text())
    assert "predictor=Sliding(window=32)" in about["predictor"]
    words = ("--postprocess", "RemoveSmall", "min_size=100000", "to=disc")
    assert score(model, "-o", tmp_path / "disc", *words) == 0
    scores = json.loads((tmp_path / "disc" / "scores.json").read_text())
    assert scores["Accuracy/disc"] == 1 and scores["Accuracy/background"] == 0


SHAPES = {"type": "Shapes", "args": {"split": "train", "length": 2}}
FOLDER = {"type": "Folder", "args": {"split": "val", "data_dir": "here"}}


def loaders(train: dict, val: dict, test: dict | None = None) -> dict:
    return {"train_loader": train, "val_loader": val, "test_loader": test}


def test_the_section_of_a_split():
    val = {"type": "Shapes", "args": {"split": "val"}}
    config = loaders(SHAPES, val)
    assert evaluate.split_section(config, None, None) == val
    assert evaluate.split_section(config, "train", None) == SHAPES
    assert evaluate.split_section(config, "test", None)["args"] == {"split": "test"}
    own = {"type": "Shapes", "args": {"split": "val", "length": 9}}
    assert evaluate.split_section(loaders(SHAPES, val, own), "test", None) == own
    moved = evaluate.split_section(loaders(SHAPES, FOLDER), "test", "there")
    assert moved["args"] == {"split": "test", "data_dir": "there"}


def test_the_section_of_a_split_of_combined_data_sets():
    """Every part gets the split and the folder; what belongs to the loader stays outside."""
    repeated = {"type": "Repeat", "args": {"dataset": FOLDER, "times": 2}}
    combined = {"type": "Concat", "args": {"datasets": [FOLDER, repeated], "batch_size": 3}}
    train = {"type": "Repeat", "args": {"dataset": SHAPES, "times": 2}}
    found = evaluate.split_section(loaders(SHAPES, combined), "test", "there")["args"]
    args = {"split": "test", "data_dir": "there"}
    assert found["batch_size"] == 3 and found["datasets"][0]["args"] == args
    assert found["datasets"][1]["args"] == {"dataset": {"type": "Folder", "args": args}, "times": 2}
    assert FOLDER["args"] == {"split": "val", "data_dir": "here"}
    assert evaluate.split_section(loaders(train, combined), "train", None) == train


def test_a_combined_data_set_is_scored_on_another_split(model, tmp_path):
    state = torch.load(model)
    part = {"type": "Shapes", "args": {"split": "val", "length": 2, "size": 32}}
    other = {"type": "Repeat", "args": {"dataset": part, "times": 2}}
    state["config"]["val_loader"] = {"type": "Concat", "args": {"datasets": [part, other]}}
    torch.save(state, tmp_path / "model.pth")
    assert score(tmp_path / "model.pth", "--split", "test", "-o", tmp_path / "out") == 0
    names = [row["image"] for row in rows(tmp_path / "out" / "images.csv")]
    assert names[:3] == ["0/test_0000", "0/test_0001", "1/0/test_0000"] and len(names) == 6


def test_a_model_of_objects(tmp_path):
    """No table of classes, and a page that tells what its colours mean."""
    shapes = {"type": "ShapesInstances", "args": {"length": 2, "size": 32, "batch_size": 2}}
    monitor = {**TINY["trainer"], "monitor": "max SBD"}
    sections = {"train_loader": shapes, "val_loader": shapes, "trainer": monitor}
    model = trained(tmp_path, **sections, loss="Discriminative")
    assert score(model, "-o", tmp_path / "out") == 0
    of_classes = ("classes.", "class_counts", "confusion", "boundary")
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == {name for name in FILES if not name.startswith(of_classes)}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "missed ones red" in page and "Worst images" in page and "Confusion" not in page
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    images = rows(tmp_path / "out" / "images.csv")
    assert scores["SBD"] == pytest.approx(sum(float(row["SBD"]) for row in images) / len(images))
    labeler = {"type": "MeanShift", "args": {"min_size": 2000}}  # more than an image has pixels
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"extends": str(model.parent / "config.json"), "labeler": labeler}))
    assert score(model, "-o", tmp_path / "none", "-c", other) == 0
    assert json.loads((tmp_path / "none" / "scores.json").read_text())["SBD"] == 0
    assert "min_size=2000" in (tmp_path / "none" / "report.html").read_text()


def test_a_full_disk(model, tmp_path, monkeypatch, capsys):
    def full(path: Path, rows: list) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("utils.report.folder.write_csv", full)
    assert score(model, "-o", tmp_path / "out") == 2
    assert "classes.csv cannot be written: No space left on device" in capsys.readouterr().err


def test_boundary_errors_by_hand():
    """A step between two classes at column 4 of 8; errors at distances 0, 1 and 3."""
    truth = np.zeros((3, 8), int)
    truth[:, 4:] = 1
    truth[0, 0] = 255
    labels = np.where(truth == 255, 0, truth)
    labels[0, 4] = labels[1, 5] = 0
    labels[2, 0] = 1
    counted = BoundaryErrors(255)
    counted.count(labels, truth)
    heading, *bands = counted.table()
    assert heading == ["from", "to", "pixels", "wrong", "error_rate", "share_of_errors"]
    # columns 3 and 4 are at 0, 2 and 5 at 1, 1 and 6 at 2, 0 and 7 at 3; one of column 0 is ignored
    assert [band[2:4] for band in bands[:3]] == [[6, 1], [6, 1], [11, 1]]
    assert bands[2][4:] == [1 / 11, 1 / 3]
    assert bands[-1][:3] == [32, math.inf, 0]


def test_no_boundary_and_no_error():
    counted = BoundaryErrors(255)
    counted.count(np.zeros((4, 4), int), np.zeros((4, 4), int))
    last = counted.table()[-1]
    assert last[2:4] == [16, 0] and last[4] == 0 and math.isnan(last[5])
    void = np.array([[0, 255, 1]])
    counted = BoundaryErrors(255)
    counted.count(np.zeros((1, 3), int), void)
    assert counted.table()[-1][2:4] == [2, 1]


def test_kitti_road_scores(model, tmp_path):
    """MaxF and AP where the config's metric is KittiRoad."""
    state = torch.load(model)
    metric = {"type": "KittiRoad", "args": {}, "target": "semantic"}
    state["config"]["metric"] = [{"type": "IoU", "args": {}, "target": "semantic"}, metric]
    torch.save(state, tmp_path / "road.pth")
    assert score(tmp_path / "road.pth", "-o", tmp_path / "out") == 0
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert 0 < scores["MaxF"] <= 1 and 0 < scores["AP"] <= 1


def test_small_tables(tmp_path):
    assert class_table({"Mean": 0.5, "IoU/a": 0.1, "IoU/b": 0.2, "Dice/a": 0.3}) == [
        ["class", "IoU", "Dice"],
        ["a", 0.1, 0.3],
        ["b", 0.2, None],
    ]
    write_csv(tmp_path / "t.csv", [["a", "b"], [None, math.nan], ["x,y", 1]])
    assert (tmp_path / "t.csv").read_text().splitlines() == ["a,b", ",", '"x,y",1']
    counts = (5, 950, 1234, 56789, 1_200_000, 345_000_000, 2.5e9)
    assert [compact(n) for n in counts] == ["5", "950", "1.2k", "57k", "1.2M", "345M", "2.5G"]
    nested = {"type": "MultiScale", "args": {"scales": [1], "predictor": {"type": "Whole"}}}
    assert in_words(nested) == "MultiScale(scales=[1], predictor=Whole)"


def test_the_worst_and_the_best_are_kept():
    """Of six maps with so many right pixels of ten; one without a score is in no ranking."""
    dataset = Shapes(length=6, size=16)
    dataset.prepare(None, Normalization(), 0)
    metric = MetricGroup([{"type": "IoU", "target": "semantic"}], 2, 255, ["a", "b"])
    gallery = Gallery(metric, dataset, 2)
    gallery.key = "Pixel_Accuracy"
    for index, right in enumerate((5, 9, 1, None, 7, 3)):
        target = torch.full((1, 10), 255 if right is None else 0)
        labels = (torch.arange(10) >= (right or 0)).long()[None]
        sample = {"name": str(index), "image": torch.zeros(3, 1, 10), "target": target, "meta": {}}
        gallery.visit(sample, labels[None], {})
    kept = {name: [e.name for e in each] for name, each in gallery.exhibits().items()}
    assert kept == {"worst": ["2", "5"], "best": ["1", "4"], "examples": ["0", "5"]}
    assert [e.score for e in gallery.worst] == pytest.approx([0.1, 0.3])


def test_pictures_are_of_the_images(folder):
    sheet = read_image(folder / "worst.png")
    assert sheet.shape[1] == 4 * 246 + 6
