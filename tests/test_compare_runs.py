"""tools/compare_runs.py: differences with intervals that mean what they say."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tools import compare_runs
from utils.command import run
from utils.image_io import read_image
from utils.metrics.instance_scores import InstanceScores
from utils.report.comparison import Counts, ImageScores, differences
from utils.tables import write_csv


def counts(iou: np.ndarray, size: int = 100) -> Counts:
    """Evaluations in which truth and found are equally large, from (images, classes) of hits."""
    hits = np.round(iou * size)
    values = np.stack([hits, np.full_like(hits, size), np.full_like(hits, size)], axis=-1)
    images, classes = iou.shape
    return Counts([f"i{i}" for i in range(images)], [f"c{c}" for c in range(classes)], values)


def test_the_difference_by_hand():
    """Hits 50 and 100 of 100 pixels in two images: IoU 150/250; all right: 1."""
    a, b = counts(np.array([[0.5], [1.0]])), counts(np.array([[1.0], [1.0]]))
    heading, row, mean = differences(a, b, resamples=500)
    assert heading == ["class", "IoU_A", "IoU_B", "difference", "low", "high"]
    assert row[:4] == ["c0", 0.6, 1.0, 0.4] and mean[1:4] == row[1:4]
    # the draws are (0, 2), (1, 1) and (2, 0): differences 0, 0.4 and 1 - 100/300
    assert row[4] == 0 and row[5] == pytest.approx(2 / 3)


def test_pairs_are_drawn_together():
    """Images that differ much among themselves, a gain that is the same in each."""
    rng = np.random.default_rng(0)
    level = rng.uniform(0.2, 0.8, (40, 2))
    low, high = differences(counts(level, 10000), counts(level + 0.05, 10000))[1][4:]
    assert 0.03 < low < high < 0.09


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """95% of intervals over samples of a population hold the population's difference."""
    rng = np.random.default_rng(1)
    a = rng.uniform(0.3, 0.9, (4000, 1))
    b = np.clip(a + rng.normal(0.02, 0.1, a.shape), 0, 1)
    truth = differences(counts(a, 1000), counts(b, 1000), resamples=2)[1][3]
    held = 0
    for _ in range(100):
        chosen = rng.integers(0, 4000, 60)
        row = differences(counts(a[chosen], 1000), counts(b[chosen], 1000), resamples=300)[1]
        held += row[4] <= truth <= row[5]
    assert 86 <= held <= 100


def test_a_class_that_never_occurs_has_no_score():
    values = np.zeros((3, 2, 3))
    values[:, 0] = 10
    absent = Counts(["a", "b", "c"], ["x", "y"], values)
    _, x, y, mean = differences(absent, absent, resamples=20)
    assert x[1] == 1 and mean[1] == 1 and all(math.isnan(value) for value in y[1:])


@pytest.fixture
def runs(tmp_path) -> list[Path]:
    """Two run folders with scores, curves and configs."""
    for index, name in enumerate(("one", "two")):
        folder = tmp_path / name / "evaluation_val"
        folder.mkdir(parents=True)
        heading = ["image", "class", "hits", "truth", "found"]
        rows = [
            [f"i{i}", c, 40 + 20 * index + i, 100, 100] for i in range(5) for c in ("sky", "car")
        ]
        write_csv(folder / "class_counts.csv", [heading, *rows])
        (tmp_path / name / "config.json").write_text(json.dumps({"seed": index, "name": "x"}))
        metrics = [["iteration", "Mean_IoU"], [10, 0.1 * index], [20, 0.5]]
        write_csv(tmp_path / name / "metrics.csv", metrics)
    return [tmp_path / "one", tmp_path / "two"]


def as_objects(folder: Path, sbd: list[float], sq: list[float] | None = None) -> None:
    """The scores of the images of a model of objects, as evaluate.py writes them."""
    sq = sq or list(sbd)
    rows = [[f"i{i}", *scores] for i, scores in enumerate(zip(sbd, sq, strict=True))]
    write_csv(folder / "images.csv", [["image", "SBD", "SQ"], *rows])


def compare(*words: str | Path) -> int:
    return run(lambda: compare_runs.main(compare_runs.parse([str(word) for word in words])))


def test_the_command(runs, tmp_path, capsys):
    assert compare(*runs, "-o", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "seed: 0 -> 1" in said and "name" not in said.split("config, A -> B")[1].split("\n")[1]
    assert any(line.startswith("sky") and line.endswith("*") for line in said.splitlines())
    with open(tmp_path / "out" / "differences_1.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    # hits 42 and 62 of 100 in the mean over images: 42 / 158 and 62 / 138
    assert float(rows[0]["IoU_A"]) == pytest.approx(42 / 158)
    assert float(rows[0]["difference"]) == pytest.approx(62 / 138 - 42 / 158)
    assert read_image(tmp_path / "out" / "curves.png").shape == (550, 880, 3)


def test_models_of_objects(tmp_path):
    """Means over images, each over those that have the score."""
    for name, gain in (("one", 0.0), ("two", 0.25)):
        (tmp_path / name).mkdir()
        as_objects(tmp_path / name, [0.25 + gain, 0.75], [math.nan, 0.5 + gain])
        write_csv(tmp_path / name / "metrics.csv", [["iteration", "SBD"], [10, 0.5 + gain]])
    both = [tmp_path / "one", tmp_path / "two"]
    assert compare(*both, "-o", tmp_path / "out") == 0
    with open(tmp_path / "out" / "differences_1.csv", newline="") as file:
        heading, sbd, sq = csv.reader(file)
    assert heading == ["score", "mean_A", "mean_B", "difference", "low", "high"]
    # draws (2, 0), (1, 1), (0, 2) of images whose SBD gains 0.25 and 0, whose SQ - and 0.25
    assert sbd == ["SBD", "0.5", "0.625", "0.125", "0.0", "0.25"]
    assert sq == ["SQ", "0.5", "0.75", "0.25", "0.25", "0.25"]
    assert compare(*both, "-o", tmp_path / "named", "--key", "SBD") == 0
    drawn = [read_image(tmp_path / name / "curves.png") for name in ("out", "named")]
    assert np.array_equal(*drawn)  # the first score is drawn


def test_what_evaluate_writes_of_objects_can_be_compared(tmp_path):
    """An image whose objects are all missed has no SQ, one without any has no recall."""
    truth = torch.zeros(3, 8, 8, dtype=torch.int64)
    truth[:2, :4], truth[1, 4:] = 1, 2
    found = truth.clone()
    found[0] = 0
    rows = []
    for image in range(3):
        metric = InstanceScores(2, -1)
        metric.update(found[image : image + 1], truth[image : image + 1])
        scores = metric.compute()
        rows.append([f"i{image}", *scores.values()])
    assert any(math.isnan(value) for row in rows for value in row[1:])
    write_csv(tmp_path / "images.csv", [["image", *scores], *rows])
    assert compare(tmp_path, tmp_path, "-o", tmp_path / "out") == 0


def test_one_image_gives_no_interval():
    one = ImageScores(["a"], ["SBD"], np.array([[0.5]]))
    other = ImageScores(["a"], ["SBD"], np.array([[0.75]]))
    _, row = differences(one, other, resamples=5)
    assert row[:4] == ["SBD", 0.5, 0.75, 0.25] and all(math.isnan(value) for value in row[4:])


DAMAGED = ["", "{bad", "image,SBD\n", "image,SBD\ni0,high\n", "image,SBD\ni0\n", "image\ni0\n"]


@pytest.mark.parametrize("name", ["images.csv", "class_counts.csv"])
@pytest.mark.parametrize("content", [*DAMAGED, "image,SBD\ni0," + "9" * 200000])
def test_damaged_scores(tmp_path, capsys, name, content):
    (tmp_path / name).write_text(content)
    assert compare(tmp_path, tmp_path, "-o", tmp_path / "out") == 2
    assert f"{tmp_path / name} cannot be read; score the model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_how_they_were_scored_is_compared_too(runs, tmp_path, capsys):
    """Evaluations by themselves, of one config: only the predictor is another."""
    places = [folder / "evaluation_val" for folder in runs]
    for place, predictor in zip(places, ("Whole", "Sliding(window=64)"), strict=True):
        about = {"model": "m.pth", "data": "Shapes", "predictor": predictor, "postprocess": "none"}
        content = {**about, "arch": "ENet", "config": {"seed": 3}}
        (place / "evaluation.json").write_text(json.dumps(content))
    assert compare(*places, "-o", tmp_path / "out") == 0
    line = 'evaluation.predictor: "Whole" -> "Sliding(window=64)"\n'
    assert (tmp_path / "out" / "config_difference_1.txt").read_text() == line
    assert compare(*runs, "-o", tmp_path / "both") == 0
    lines = (tmp_path / "both" / "config_difference_1.txt").read_text()
    assert lines == line + "seed: 0 -> 1\n"


def test_a_star_is_explained_where_there_is_one(runs, tmp_path, capsys):
    assert compare(*runs, "-o", tmp_path / "a") == 0
    assert "* the 95% interval over images does not hold 0" in capsys.readouterr().out
    assert compare(runs[0], runs[0], "-o", tmp_path / "b") == 0
    assert "*" not in capsys.readouterr().out


def test_an_unknown_column(runs, tmp_path, capsys):
    assert compare(*runs, "-o", tmp_path / "out", "--key", "Mean_IuO") == 0
    said = capsys.readouterr()
    assert "no run has a column 'Mean_IuO'" in said.out + said.err
    assert "there are iteration, Mean_IoU (--key)" in said.out + said.err
    assert not (tmp_path / "out" / "curves.png").exists()


@pytest.mark.parametrize("count", ["0", "-5"])
def test_no_resamples(runs, count, capsys):
    with pytest.raises(SystemExit):
        compare(*runs, "--resamples", count)
    assert f"'{count}' is no number from 1 up" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{bad", "[1]", "\xff"])
@pytest.mark.parametrize("name", ["evaluation_val/evaluation.json", "config.json"])
def test_a_damaged_file(runs, tmp_path, capsys, name, content):
    (runs[1] / name).write_text(content, encoding="latin-1")
    assert compare(*runs, "-o", tmp_path / "out") == 2
    assert f"{name} is damaged: it holds no JSON object" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_damaged_metrics(runs, tmp_path, capsys):
    (runs[1] / "metrics.csv").write_text("iteration,Mean_IoU\nten,0.1\n")
    assert compare(*runs, "-o", tmp_path / "out") == 2
    assert "--key Mean_IoU: metrics.csv does not hold numbers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("spoil", ["images", "none", "objects", "metric", "single"])
def test_refused(runs, tmp_path, capsys, spoil):
    path = runs[1] / "evaluation_val" / "class_counts.csv"
    if spoil == "images":
        path.write_text(path.read_text().replace("i4", "i9"))
        says = "the evaluations are of different images"
    elif spoil == "objects":
        path.unlink()
        as_objects(path.parent, [0.5])
        says = "holds counts of classes in each image, the other scores of each image"
    elif spoil == "metric":
        for folder, scores in zip(runs, (["MaxF"], ["SBD", "SQ"]), strict=True):
            (folder / "evaluation_val" / "class_counts.csv").unlink()
            rows = [["image", *scores], ["i0", *(0.5 for _ in scores)]]
            write_csv(folder / "evaluation_val" / "images.csv", rows)
        says = "the first metric of their configs is not the same (1 and 2, the first that differ"
    elif spoil == "none":
        path.unlink()
        says = "holds no scores of the images of val; python evaluate.py --model"
    else:
        runs.pop()
        says = "give two runs or more"
    assert compare(*runs, "-o", tmp_path / "out") == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
