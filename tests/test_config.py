"""Reading, extending, overriding and checking a config."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import layouts
import pytest
import torch

import train
from tools import export_schema, sample_instances
from utils.config import difference, merge, override, plain_json, read_config
from utils.engine.resume import Start
from utils.errors import UserError
from utils.schema import check

CONFIGS = sorted((Path(__file__).parent.parent / "configs").rglob("*.json"))
CONFIGS = [path for path in CONFIGS if path.name != "schema.json"]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A small copy of every data set that the configs name, with the sample that one asks for."""
    root = layouts.write_all(tmp_path_factory.mktemp("data"))
    words = ["--data-dir", str(root / "cityscapes"), "--classes", "car", "--ratios", "0.4"]
    sample_instances.main(sample_instances.parse(["cityscapes", *words]))
    return root


def write(path: Path, config) -> Path:
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return path


def test_comments_and_trailing_commas():
    text = '{"a": "// no comment, /* nor */ this", // one\n /* two\n lines */ "b": [1, 2,],}'
    assert json.loads(plain_json(text)) == {"a": "// no comment, /* nor */ this", "b": [1, 2]}


def test_comments_keep_lines_and_columns():
    text = '{"a": 1, /* x */ "b" 2}'
    with pytest.raises(json.JSONDecodeError) as error:
        json.loads(plain_json(text))
    assert error.value.colno == text.index("2") + 1


def test_extends_merges_objects_and_replaces_the_rest(tmp_path, tiny):
    write(tmp_path / "base.json", tiny)
    child = write(
        tmp_path / "child.json",
        {"extends": "base.json", "name": "child", "trainer": {"epochs": 5}},
    )
    config = read_config(child)
    assert config["name"] == "child"
    assert config["trainer"]["epochs"] == 5
    assert config["trainer"]["save_dir"] == tiny["trainer"]["save_dir"]


def test_extends_several_in_order(tmp_path, tiny):
    write(tmp_path / "base.json", tiny)
    write(tmp_path / "more.json", {"seed": 3, "name": "more"})
    child = write(tmp_path / "child.json", {"extends": ["base.json", "more.json"]})
    assert read_config(child)["seed"] == 3 and read_config(child)["name"] == "more"


def test_a_new_type_drops_the_old_args():
    base = {"arch": {"type": "UNet", "args": {"backbone": "resnet18"}}}
    assert merge(base, {"arch": {"type": "ENet"}}) == {"arch": {"type": "ENet"}}
    kept = merge(base, {"arch": {"args": {"in_channels": 1}}})
    assert kept["arch"]["args"] == {"backbone": "resnet18", "in_channels": 1}


def test_null_takes_an_inherited_key_out():
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}) == {"a": {"c": 2}}


def test_overrides():
    config = {"a": {"b": [1, {"c": 2}]}}
    for text in ("a.b.0=5", "a.b.1.c=[1, 2]", "a.x=hello", "new.key=true", "a.n=null"):
        override(config, text)
    assert config == {
        "a": {"b": [5, {"c": [1, 2]}], "x": "hello", "n": None},
        "new": {"key": True},
    }


def test_all_problems_at_once(tiny):
    tiny["arch"] = {"type": "UNett"}
    tiny["optimiser"] = {}
    tiny["trainer"]["epochs"] = "ten"
    tiny["train_loader"]["args"]["batchsize"] = 2
    tiny["loss"] = "CrossEntropi"
    with pytest.raises(UserError) as error:
        check(tiny)
    text = str(error.value)
    for line in (
        "arch.type: unknown 'UNett'; did you mean 'UNet' or",
        "top level: unknown key 'optimiser'; did you mean 'optimizer'?",
        'trainer.epochs: "ten" is not a whole number',
        "train_loader.args: unknown key 'batchsize'; did you mean 'batch_size'",
        "loss: unknown 'CrossEntropi'; did you mean 'CrossEntropy'",
    ):
        assert line in text, text


@pytest.mark.parametrize(
    "place, value, message",
    [
        ("loss", [{"type": "CrossEntropy", "weigth": 2}], "loss.0: unknown key 'weigth'"),
        ("trainer.amp", "bf61", "trainer.amp: unknown 'bf61'; did you mean 'bf16'"),
        ("trainer.epochs", 2.0, "trainer.epochs: 2.0 is not"),
        ("trainer.type", "Trainr", "trainer.type: unknown 'Trainr'; did you mean 'Trainer'?"),
        ("train_loader.args.crop_size", "big", 'train_loader.args.crop_size: "big" is not'),
        ("arch", None, "arch: null is not an object"),
        ("epochs", 2, "top level: unknown key 'epochs'; it goes into trainer"),
        ("scale", 2, "unknown key 'scale'; it goes into train_loader.args or val_loader.args"),
        ("optimizer.lr", 0.1, "optimizer: unknown key 'lr'; it goes into optimizer.args"),
        ("arch.args.out_channels", 3, "arch.args: unknown key 'out_channels'"),
        ("optimizer.args.lr", "fast", 'optimizer.args.lr: "fast" is not a number'),
        ("metric", {"type": "IOU"}, "metric.type: unknown 'IOU'; did you mean 'IoU'?"),
    ],
)
def test_messages(tiny, place, value, message):
    override(tiny, f"{place}={json.dumps(value)}")
    with pytest.raises(UserError) as error:
        check(tiny)
    assert message in str(error.value)


def test_pytorch_segmentations_file_runs_unchanged(tmp_path, monkeypatch):
    """Its config.json, comments and all, beside the data it asks for."""
    config = read_config(Path(__file__).parent / "pytorch_segmentation.json")
    layouts.voc(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    trainer = train.build(Start(config), [torch.device("cpu")])
    assert trainer.total == 80
    assert config["loss"] == "CrossEntropyLoss2d"
    assert config["train_loader"]["args"]["batch_size"] == 32
    assert config["trainer"]["monitor"] == "max Mean_IoU"


def test_difference():
    assert difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ["a.c: 2 -> 3"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_valid_and_explains_itself(path):
    config = read_config(path)
    assert config["about"]
    assert "$schema" in path.read_text()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_an_editor_finds_no_fault_in_our_configs(path):
    schema = json.loads(export_schema.TARGET.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(path.read_text()))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_builds(path, data, monkeypatch):
    """On generated data, without downloads and the runs it starts from."""
    monkeypatch.setenv("SEGFORGE_DATA", str(data))
    loading = ["train_loader.args.batch_size=2", "train_loader.args.num_workers=0"]
    config = read_config(
        path, ["init_from=null", "trainer.epochs=200", "trainer.iterations=null", *loading]
    )
    if config["arch"]["args"].get("pretrained"):
        config["arch"]["args"]["pretrained"] = False
    trainer = train.build(Start(config), [torch.device("cpu")])
    assert trainer.total > 0 and trainer.validate is not None


def test_the_schema_file_is_fresh():
    assert export_schema.TARGET.read_text() == export_schema.text(), (
        "configs/schema.json is stale; run python tools/export_schema.py"
    )


def test_checking_is_fast(tiny):
    start = time.perf_counter()
    check(tiny)
    assert time.perf_counter() - start < 1


def test_list_and_describe(capsys):
    train.main(train.parse(["--list"]))
    listed = capsys.readouterr().out
    assert "UNet" in listed and "CrossEntropyLoss2d" in listed
    assert max(map(len, listed.splitlines())) <= 80
    train.main(train.parse(["--describe", "UNet"]))
    described = capsys.readouterr().out
    assert 'backbone: text matching ^timm/.+ or "resnet18" | ' in " ".join(described.split())
    assert max(map(len, described.splitlines())) <= 80
    assert "Name of the encoder" in described


def test_describe_an_unknown_name():
    done = subprocess.run(
        [sys.executable, "train.py", "--describe", "Unet"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is nothing called 'Unet'; did you mean 'UNet'")
