"""Every config, broken in thousands of ways: it passes its check, or a user's error says why."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import train
from utils.command import run
from utils.config import read_config
from utils.errors import UserError
from utils.schema import schema

ROOT = Path(__file__).parent.parent
CONFIGS = sorted(p for p in (ROOT / "configs").rglob("*.json") if p.name != "schema.json")
DRAWN = ("quickstart.json", "shapes_instances.json")  # those that need no data
MUTANTS = 2000
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


def mutants(count: int) -> list[tuple[str, dict]]:
    rng = random.Random(0)
    originals = [(path.name, json.loads(path.read_text())) for path in CONFIGS]
    return [(name, mutant(config, rng)) for name, config in (originals * count)[:count]]


def test_no_mutant_of_a_config_ends_in_a_traceback(tmp_path, monkeypatch):
    known = schema()  # made once: it is the same for all
    monkeypatch.setattr("utils.schema.schema", lambda: known)
    path, refused = tmp_path / "mutant.json", 0
    for name, config in mutants(MUTANTS):
        path.write_text(json.dumps(config))
        try:
            read_config(path)
        except UserError as error:
            refused += 1
            assert str(error)
        except Exception as error:
            pytest.fail(f"{name}: {type(error).__name__}: {error}\n{json.dumps(config)}")
    assert MUTANTS / 4 < refused < MUTANTS  # some only change a value


def without_data() -> list[dict]:
    """The configs that draw their data, with little of it."""
    drawn = [json.loads((ROOT / "configs" / name).read_text()) for name in DRAWN]
    for config in drawn:
        config["train_loader"]["args"] |= {"length": 8, "size": 32, "batch_size": 2}
        config["val_loader"]["args"] |= {"length": 2, "size": 32}
    return drawn


def test_no_mutant_ends_its_check_in_a_traceback(tmp_path, monkeypatch, capsys):
    """A hundred of the configs that need no data: built, and one step run, in this process."""
    known, rng = schema(), random.Random(2)
    monkeypatch.setattr("utils.schema.schema", lambda: known)
    drawn, codes = without_data(), []
    path = tmp_path / "mutant.json"
    for number in range(100):
        path.write_text(json.dumps(mutant(drawn[number % len(drawn)], rng)))
        words = ["-c", str(path), "-d", "cpu", "--check"]
        try:
            codes.append(run(lambda words=words: train.main(train.parse(words))))
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}\n{path.read_text()}")
        said = capsys.readouterr().err
        assert (codes[-1] == 2) == said.startswith("error: "), f"{path.read_text()}\n{said}"
    assert set(codes) == {0, 2}


@pytest.mark.slow
def test_whole_commands_end_with_a_message(tmp_path):
    """Fifty mutants of those, as commands of their own."""
    rng, drawn = random.Random(1), without_data()
    for number in range(50):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(mutant(drawn[number % len(drawn)], rng)))
        words = [sys.executable, "train.py", "-c", str(path), "-d", "cpu", "--check"]
        ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert ended.returncode in (0, 2), f"{path.read_text()}\n{ended.stderr}"
        assert "Traceback" not in ended.stderr, ended.stderr
        assert (ended.returncode == 2) == ended.stderr.startswith("error: "), ended.stderr
