"""A user's own package, used through --import, as docs/extending.md shows it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from utils.image_io import write_png

ROOT = Path(__file__).parent.parent
EXAMPLE = Path(__file__).parent / "example_package"
FILES = sorted(p for p in EXAMPLE.rglob("*") if p.suffix in (".py", ".json"))
SHORT = ("--set", "trainer.epochs=null", "--set", "trainer.iterations=2", "-d", "cpu")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the example outside of the tree, with its data."""
    folder = tmp_path_factory.mktemp("somewhere") / "my_project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    done = call(folder, "make_dots.py", "data/dots")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def checkpoint(project) -> Path:
    """What two iterations of my_run.json leave behind."""
    done = command(project, "train.py", "-c", "my_run.json", *SHORT)
    assert done.returncode == 0, done.stderr
    return next((project / "saved" / "my_run").glob("*/best_model.pth"))


def call(folder: Path, *words: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True
    )


def command(folder: Path, script: str, *words: str) -> subprocess.CompletedProcess:
    return call(folder, str(ROOT / script), "--import", "my_package", *words)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_page_shows_the_files_as_they_are(path):
    page = (ROOT / "docs" / "extending.md").read_text()
    name = path.relative_to(EXAMPLE).as_posix()
    language = {".py": "python", ".json": "json"}[path.suffix]
    assert f"`{name}`\n\n```{language}\n{path.read_text()}```\n" in page


def test_evaluate(project, checkpoint):
    done = command(project, "evaluate.py", "--model", str(checkpoint), "-d", "cpu")
    assert done.returncode == 0, done.stderr
    scores = json.loads((checkpoint.parent / "evaluation_val" / "scores.json").read_text())
    assert "IoU/dot" in scores


def test_inference(project, checkpoint):
    with np.load(project / "data" / "dots" / "val" / "00.npz") as file:
        write_png(project / "photos" / "a.png", file["image"])
    words = ("--model", str(checkpoint), "--images", "photos", "--save", "ids", "-d", "cpu")
    done = command(project, "inference.py", *words)
    assert done.returncode == 0, done.stderr
    assert (project / "outputs" / "a_ids.png").is_file()


def test_without_the_import_the_names_are_unknown(project, checkpoint):
    done = call(project, str(ROOT / "evaluate.py"), "--model", str(checkpoint), "-d", "cpu")
    assert done.returncode == 2
    assert "model 'TinyNet' is unknown; --import the package" in done.stderr


def test_two_heads(project):
    done = command(project, "train.py", "-c", "two_heads.json", *SHORT)
    assert done.returncode == 0, done.stderr
    table = next((project / "saved" / "two_heads").glob("*/metrics.csv"))
    with open(table, newline="") as lines:
        row = next(csv.DictReader(lines))
    assert {"train_ce", "train_foreground_bce", "Mean_IoU"} <= row.keys()
