"""Concat and Repeat: what they give, and what they refuse, with the place in the config."""

from __future__ import annotations

import copy
import json

import layouts
import pytest
import torch

from dataloaders import DATASETS
from dataloaders.check import check_dataset
from train import build as build_run
from utils.config import filled, read_config
from utils.engine.resume import Start
from utils.errors import UserError
from utils.normalization import Normalization
from utils.schema import check


def shapes(**args):
    return {"type": "Shapes", "args": {"length": 3, "size": 32, **args}}


def concat(*sections, **supplied):
    return DATASETS.build({"type": "Concat", "args": {"datasets": [*sections]}}, **supplied)


def repeat(section, times=2):
    return DATASETS.build({"type": "Repeat", "args": {"dataset": section, "times": times}})


def test_concat_gives_what_its_parts_give():
    both = concat(shapes(), shapes(split="val", length=2))
    parts = [DATASETS.build(shapes()), DATASETS.build(shapes(split="val", length=2))]
    items = [(number, item) for number, part in enumerate(parts) for item in part]
    assert len(both) == 5 and both.split == "train+val"
    for item, (number, own) in zip(both, items, strict=True):
        assert item["name"] == f"{number}/{own['name']}"
        assert torch.equal(item["image"], own["image"])
        assert torch.equal(item["target"], own["target"])


def test_repeat():
    data = repeat(shapes(), 3)
    assert len(data) == 9 and len({entry.name for entry in data.entries}) == 9
    assert torch.equal(data[1]["image"], data[4]["image"])


def test_each_turn_is_augmented_afresh():
    data, drawn = repeat(shapes()), []
    data.prepare(lambda sample, rng: drawn.append(rng.random()) or sample, Normalization())
    for index in range(6):
        data.sample((0, index))
    assert len(set(drawn)) == 6


def test_they_nest_and_keep_aliases(tmp_path):
    layouts.cityscapes(tmp_path)
    coarse = {"type": "CityScapes", "args": {"data_dir": str(tmp_path), "mode": "coarse"}}
    fine = {"type": "Cityscapes", "args": {"data_dir": str(tmp_path)}}
    twice = {"type": "Repeat", "args": {"dataset": fine, "times": 2}}
    data = concat(coarse, twice)
    assert len(data) == 5 + 10 and data.entries[-1].name == "1/1/zurich_000000_000019"
    assert data[8]["target"].shape == layouts.SIZE
    assert data.mean == DATASETS["Cityscapes"].mean and data.data_dir == str(tmp_path)


def test_all_parts_ignore_the_same_number():
    data = concat(shapes(void=1), shapes(void=1), ignore_index=77)
    assert (data[0]["target"] == 77).any() and (data[4]["target"] == 77).any()
    assert data.ignore_index == 77


def test_both_targets():
    data = concat(shapes(target="both"), shapes(target="both", split="val"))
    assert data.targets == ("semantic", "instance") and set(data[5]["target"]) == set(data.targets)


def test_the_check_sums_and_remembers(monkeypatch):
    data = concat(shapes(), shapes(split="val"))
    single = [
        check_dataset(DATASETS.build(shapes(split=split))).counts for split in ("train", "val")
    ]
    assert check_dataset(data).counts == [a + b for a, b in zip(*single, strict=True)]
    again = concat(shapes(), shapes(split="val"))
    monkeypatch.setattr(type(again), "read", None)  # reading again would fail
    assert check_dataset(again) == check_dataset(data)


@pytest.mark.parametrize(
    "section, message",
    [
        (concat, "datasets is empty"),
        (shapes(batch_size=2), "datasets.1.args: 'batch_size' counts for the whole; put it beside"),
        (shapes(flip=True), "datasets.1.args: 'flip'"),
        (shapes(length=0), "datasets.1: dataset Shapes: length is 0"),
        (shapes(target="instance"), "differ in their targets: semantic and instance"),
    ],
)
def test_bad_parts(section, message):
    with pytest.raises(UserError, match=message):
        concat(*(() if section is concat else (shapes(), section)))


def test_classes_must_agree(tmp_path):
    layouts.voc(tmp_path)
    with pytest.raises(UserError, match="datasets.0 and datasets.1 differ in their classes: backg"):
        concat(shapes(), {"type": "VOC", "args": {"data_dir": str(tmp_path)}})


def test_repeat_refuses_a_loaders_key_and_zero():
    with pytest.raises(UserError, match="dataset.args: 'shuffle' counts for the whole"):
        repeat(shapes(shuffle=True))
    with pytest.raises(UserError, match="times is 0"):
        repeat(shapes(), 0)


@pytest.mark.parametrize(
    "section, message",
    [
        (
            {"type": "Shape", "args": {}},
            "train_loader.args.datasets.1.type: unknown 'Shape'; did you mean 'Shapes'?",
        ),
        (
            shapes(lenght=2),
            "train_loader.args.datasets.1.args: unknown key 'lenght'; did you mean 'length'?",
        ),
        ({"type": "VOC"}, "train_loader.args.datasets.1: the key 'args' is missing"),
        (
            {"type": "Repeat", "args": {"dataset": shapes(size="big"), "times": 2}},
            "train_loader.args.datasets.1.args.dataset.args.size",
        ),
        (
            {"type": "Repeat", "args": {"dataset": shapes(), "times": 0}},
            "train_loader.args.datasets.1.args.times: 0 is too small",
        ),
    ],
)
def test_nested_sections_are_checked_with_their_place(section, message, tiny):
    tiny["train_loader"] = {"type": "Concat", "args": {"datasets": [shapes(), section]}}
    with pytest.raises(UserError) as error:
        check(tiny)
    assert message in str(error.value)


def test_a_run_over_both(tiny, tmp_path):
    flags = copy.deepcopy(tiny["train_loader"]["args"])
    own = {key: flags.pop(key) for key in ("length", "size")}
    part = {"type": "Shapes", "args": own}
    tiny["train_loader"] = {
        "type": "Concat",
        "args": {
            "datasets": [part, {"type": "Repeat", "args": {"dataset": part, "times": 2}}],
            **flags,
        },
    }
    check(tiny)
    trainer = build_run(Start(filled(tiny)), [torch.device("cpu")])
    assert trainer.total == 2 * 9  # two epochs of 6 + 12 images in batches of 2


def test_normalize_by_statistics_needs_equal_ones(tmp_path):
    layouts.voc(tmp_path)
    voc = {"type": "VOC", "args": {"data_dir": str(tmp_path)}}
    assert concat(voc, voc).mean == DATASETS["VOC"].mean
    assert concat(shapes(), shapes()).mean is None


def test_read_config_takes_it(tmp_path, tiny):
    tiny["train_loader"] = {"type": "Concat", "args": {"datasets": [shapes()], "batch_size": 2}}
    path = tmp_path / "c.json"
    path.write_text(json.dumps(tiny))
    config = read_config(path, ["train_loader.args.datasets.0.args.length=5"])
    assert config["train_loader"]["args"]["datasets"][0]["args"]["length"] == 5
