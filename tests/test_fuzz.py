"""Every config, broken in thousands of ways: it passes its check, or a user's error says why."""

from __future__ import annotations

import copy
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

import train
from base import DATASETS
from utils.command import run
from utils.config import extended
from utils.schema import schema

ROOT = Path(__file__).parent.parent
CONFIGS = sorted(p for p in (ROOT / "configs").rglob("*.json") if p.name != "schema.json")
DRAWN = ("quickstart.json", "shapes_instances.json")  # those that need no data
STRANGE = [None, True, -1, 0, 1e300, 0.5, "", "nan", "../..", [], {}, [[]], {"type": "x"}, [None]]


def places(node: Any, way: tuple = ()) -> Iterator[tuple]:
    """The way to every value in a config."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield (*way, key)
        if isinstance(value, dict | list):
            yield from places(value, (*way, key))


def mutant(config: dict, rng: random.Random) -> dict:
    """The config with one value taken out, replaced, misspelt, copied elsewhere or wrapped."""
    config = copy.deepcopy(config)
    spots = list(places(config))
    *way, key = rng.choice(spots)
    node: Any = config
    for step in way:
        node = node[step]
    kind = rng.choice(["drop", "strange", "misspell", "swap", "wrap"])
    if kind == "drop":
        del node[key]
    elif kind == "strange":
        node[key] = copy.deepcopy(rng.choice(STRANGE))
    elif kind == "misspell" and isinstance(node, dict):
        node[str(key)[:-1] + rng.choice("xyz ")] = node.pop(key)
    elif kind == "swap":
        other: Any = config
        for step in rng.choice(spots):
            other = other[step]
        node[key] = copy.deepcopy(other)
    else:
        node[key] = rng.choice([[node[key]], {"args": node[key]}])
    return config


def mutants(count: int) -> Iterator[dict]:
    """Of every config in turn."""
    rng = random.Random(0)
    originals = [json.loads(path.read_text()) for path in CONFIGS if path.name not in DRAWN]
    originals += [with_drawn_data(ROOT / "configs" / name) for name in DRAWN]
    for config in (originals * count)[:count]:
        yield mutant(config, rng)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The file of a mutant, beside the configs that it may extend; the schema is made once."""
    known = schema()
    monkeypatch.setattr("utils.schema.schema", lambda: known)
    monkeypatch.delenv("SEGFORGE_DATA", raising=False)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    return tmp_path / "configs" / "mutant.json"


def check(config: dict, place: Path, capsys) -> int:
    """The exit code of `--check` of the config, which is 0, or 2 and an error is said."""
    place.write_text(json.dumps(config))
    words = ["-c", str(place), "-d", "cpu", "--check"]
    try:
        code = run(lambda: train.main(train.parse(words)))
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error}\n{place.read_text()}")
    said = capsys.readouterr().err
    assert code in (0, 2), f"{place.read_text()}\n{said}"
    assert (code == 2) == said.startswith("error: "), f"{place.read_text()}\n{said}"
    return code


def with_drawn_data(path: Path) -> dict:
    """The config on a few drawn images of 64 pixels in place of its data, its network small."""
    config = extended(path)
    config.pop("init_from", None)
    kind = data_set(config["train_loader"])
    targets = signature(kind).parameters.get("target")
    for split in ("train", "val"):
        section = config[f"{split}_loader"]
        own = {**signature(DATASETS[section["type"]]).parameters, **signature(kind).parameters}
        args = {key: value for key, value in section["args"].items() if key not in own}
        args |= {
            "target": section["args"].get("target", targets.default if targets else "semantic")
        }
        args |= {"split": split, "length": 4, "size": 64, "batch_size": 2, "num_workers": 0}
        section |= {"type": "ShapesInstances", "args": args | {"normalize": "image"}}
    shrink(config)
    return config


def data_set(section: dict) -> type:
    """That of a loader, or the first of those that it combines."""
    inner = section["args"].get("dataset") or section["args"].get("datasets", [None])[0]
    return data_set(inner) if inner else DATASETS[section["type"]]


def shrink(node: Any) -> None:
    """Sizes, encoders and warm-ups to small ones, wherever they stand in a config."""
    small = {"crop_size": 64, "base_size": 64, "size": 64, "warmup_steps": 1}
    small |= {"backbone": "resnet18", "pretrained": False}
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key in small and value is not None:
            node[key] = small[key]
        elif isinstance(value, dict | list):
            shrink(value)


@pytest.mark.parametrize("count", [400, pytest.param(2000, marks=pytest.mark.slow)])
def test_no_mutant_of_a_config_ends_in_a_traceback(count, place, capsys):
    """Through `--check`. Most end at their data, which is not there, if not before."""
    codes = []
    for config in mutants(count):
        codes.append(check(config, place, capsys))
    assert set(codes) == {0, 2}


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.name for path in CONFIGS])
def test_no_mutant_ends_its_check_in_a_traceback(name, place, capsys):
    """On data that is drawn: built, and one step run, in this process."""
    config, rng = with_drawn_data(ROOT / "configs" / name), random.Random(2)
    assert check(config, place, capsys) == 0
    codes = [check(mutant(config, rng), place, capsys) for _ in range(30)]
    assert 2 in codes


@pytest.mark.slow
def test_whole_commands_end_with_a_message(tmp_path):
    """Fifty mutants of those that draw their data, as commands of their own."""
    rng, drawn = random.Random(1), [with_drawn_data(ROOT / "configs" / name) for name in DRAWN]
    for number in range(50):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(mutant(drawn[number % len(drawn)], rng)))
        words = [sys.executable, "train.py", "-c", str(path), "-d", "cpu", "--check"]
        ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert ended.returncode in (0, 2), f"{path.read_text()}\n{ended.stderr}"
        assert "Traceback" not in ended.stderr, ended.stderr
        assert (ended.returncode == 2) == ended.stderr.startswith("error: "), ended.stderr
