"""The tools that prepare instance data, through their functions and as commands."""

from __future__ import annotations

import importlib
import json
import logging
import re
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

from dataloaders import DATASETS
from tests.instance_layouts import (
    blocks,
    make_cvppp,
    make_folder,
    make_tusimple,
    picture,
    write_plant,
)
from utils.command import run
from utils.image_io import read_image, read_label, write_png
from utils.whole import whole_file, whole_folder

ROOT = Path(__file__).parent.parent


def tool(name: str, *words: str) -> int:
    """The exit code of a tool, run in this process."""
    module = importlib.import_module(f"tools.{name}")
    return run(lambda: module.main(module.parse([str(word) for word in words])))


def command(name: str, *words: str) -> subprocess.CompletedProcess:
    words = [sys.executable, f"tools/{name}.py", *map(str, words)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


def build(name, root, **args):
    return DATASETS.build({"type": name, "args": {"data_dir": str(root), **args}})


def tree(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def make_cityscapes(root: Path, counts=(3, 0, 5), split="train", groups=True) -> Path:
    """Label files of so many cars; two persons, a group of cars and road in each."""
    for number, count in enumerate(counts):
        values = np.full((40, 64), 7, np.uint16)
        for car in range(count):
            values[:10, 6 * car : 6 * car + 5] = 26000 + car
        values[20:25, :5], values[20:25, 10:15] = 24000, 24001
        if groups:
            values[30:, :9] = 26
        name = f"ulm_{number:06d}_000019"
        write_png(root / f"gtFine/{split}/ulm/{name}_gtFine_instanceIds.png", values)
        write_png(root / f"leftImg8bit/{split}/ulm/{name}_leftImg8bit.png", picture(40, 64))
    return root


def sampled(root: Path, name: str, ratio: float, split="train") -> dict[str, np.ndarray]:
    place = root / f"gtFine/{split}/ulm/{name}/{ratio}"
    return {path.name: read_label(path) for path in sorted(place.glob("*.png"))}


def objects(labels: dict[str, np.ndarray]) -> set[tuple[str, int]]:
    return {(name, v) for name, label in labels.items() for v in np.unique(label).tolist() if v}


# --- whole or not at all --------------------------------------------------------------------------


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), whole_file(tmp_path / "a" / "b.txt") as part:
        part.write_text("half")
        raise RuntimeError
    with pytest.raises(RuntimeError), whole_folder(tmp_path, ["c"]) as part:
        (part / "c").mkdir()
        raise RuntimeError
    assert tree(tmp_path) == [] and not (tmp_path / "c").exists()


# --- split_cvppp ----------------------------------------------------------------------------------


def test_split_cvppp(tmp_path, capsys):
    make_cvppp(make_cvppp(tmp_path, None, "A1", 10), None, "A4", 5)
    assert tool("split_cvppp", tmp_path, "--val", 0.2) == 0
    counts = {
        (split, subset): len(build("CVPPP", tmp_path, split=split, subset=subset))
        for split in ("train", "val")
        for subset in ("A1", "A4")
    }
    assert counts == {
        ("train", "A1"): 8,
        ("val", "A1"): 2,
        ("train", "A4"): 4,
        ("val", "A4"): 1,
    }
    together = {p.name for p in tmp_path.glob("*/A1/*")}
    assert together == {p.name for p in (tmp_path / "A1").iterdir()}  # the foreground files too
    assert "A1 val: 2 plants" in capsys.readouterr().out


def test_split_cvppp_follows_the_seed(tmp_path):
    make_cvppp(tmp_path, None, "A1", 10)
    chosen = {}
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        assert tool("split_cvppp", tmp_path, "-o", tmp_path / name, "--seed", seed) == 0
        chosen[name] = [p.name for p in sorted((tmp_path / name / "val" / "A1").iterdir())]
    assert chosen["a"] == chosen["b"] != chosen["c"]


def test_split_cvppp_never_overwrites(tmp_path):
    make_cvppp(make_cvppp(tmp_path, None), "val")
    before = tree(tmp_path)
    done = command("split_cvppp", tmp_path)
    assert done.returncode == 2 and tree(tmp_path) == before
    assert done.stderr == (
        f"error: {tmp_path}/val is there already; remove it or write to another place\n"
    )


@pytest.mark.parametrize(
    "words, message",
    [
        (["--val", "1"], "--val is 1.0; give a share between 0 and 1"),
        (["--seed", "-1"], "--seed is -1"),
        ([], "A1 has fewer than two labelled plants"),
    ],
)
def test_split_cvppp_bad_input(tmp_path, words, message, capsys):
    assert tool("split_cvppp", make_cvppp(tmp_path, None, count=1), *words) == 2
    assert message in capsys.readouterr().err


def test_split_cvppp_of_something_else(tmp_path, capsys):
    assert tool("split_cvppp", tmp_path) == 2
    assert f"{tmp_path} holds none of the folders A1, A2, A3, A4" in capsys.readouterr().err


# --- prepare_tusimple -----------------------------------------------------------------------------


def test_prepare_tusimple(tmp_path):
    source = make_tusimple(tmp_path / "source", dates=("0601", "0313"))
    done = command("prepare_tusimple", source, "-o", tmp_path / "out", "--thickness", 3)
    assert done.returncode == 0, done.stderr
    names = [f"{n:04d}.png" for n in range(4)]
    assert tree(tmp_path / "out") == [
        *(f"images/{name}" for name in names),
        "index.txt",
        *(f"labels/{name}" for name in names),
    ]
    index = (tmp_path / "out" / "index.txt").read_text().splitlines()
    assert index[0] == "0000 clips/0313/0/20.jpg" and index[3] == "0003 clips/0601/1/20.jpg"
    label = read_label(tmp_path / "out" / "labels" / "0002.png")
    assert label.dtype == np.uint8 and np.unique(label).tolist() == [0, 20, 70]
    frame = read_image(source / "clips/0601/0/20.jpg")
    assert np.array_equal(read_image(tmp_path / "out" / "images" / "0002.png"), frame)
    prepared = build("TuSimple", tmp_path / "out", split="trainval", target="semantic")
    drawn = build("TuSimple", source, split="trainval", target="semantic", thickness=3)
    assert np.array_equal(prepared[2]["target"], drawn[2]["target"])


def test_prepare_tusimple_more_than_five_lanes(tmp_path, caplog):
    make_tusimple(tmp_path, dates=("0313",), frames=1, lanes=[[6 * n + 3] * 8 for n in range(7)])
    with caplog.at_level(logging.WARNING, "segforge"):
        assert tool("prepare_tusimple", tmp_path, "--thickness", 3) == 0
    label = read_label(tmp_path / "labels" / "0000.png")
    assert label.dtype == np.uint16
    assert np.unique(label).tolist() == [0, 20, 70, 120, 170, 220, 270, 320]
    assert "clips/0313/0/20.jpg has 7 lanes: its label is a 16 bit file" in caplog.text


def test_prepare_tusimple_leaves_nothing_half_written(tmp_path, capsys):
    source = make_tusimple(tmp_path / "source", dates=("0313",))
    (source / "clips/0313/1/20.jpg").write_bytes(b"no image")
    assert tool("prepare_tusimple", source, "-o", tmp_path / "out") == 2
    assert "20.jpg is not an image that can be read" in capsys.readouterr().err
    assert tree(tmp_path / "out") == []


@pytest.mark.parametrize(
    "words, message",
    [([], "holds no label_data_*.json"), (["--thickness", "0"], "--thickness is 0")],
)
def test_prepare_tusimple_bad_input(tmp_path, words, message, capsys):
    assert tool("prepare_tusimple", tmp_path, *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["gone", "file"])
def test_prepare_tusimple_of_no_folder(tmp_path, name, capsys):
    (tmp_path / "file").write_text("")
    assert tool("prepare_tusimple", tmp_path / name) == 2
    assert capsys.readouterr().err == f"error: there is no folder {tmp_path / name}\n"


# --- sample_instances cvppp -----------------------------------------------------------------------


def test_sample_cvppp_is_what_instance_ratio_chooses(tmp_path):
    source = make_cvppp(tmp_path / "source")
    colours = np.zeros((40, 48, 3), np.uint8)
    for number in range(1, 7):
        colours[blocks() == number] = (40 * number, 7, 255 - number)
    write_plant(source / "train" / "A1", "plant009", colours)
    out = tmp_path / "out"
    words = ("--data-dir", source, "-o", out, "--ratios", 0.3, 0.7, "--seed", 5)
    assert tool("sample_instances", "cvppp", *words) == 0
    for ratio in (0.3, 0.7):
        written = build("CVPPP", out / str(ratio))
        chosen = build("CVPPP", source, instance_ratio=ratio, sample_seed=5)
        assert len(written) == len(chosen) == 4
        for index in range(4):
            one, two = written[index]["target"], chosen[index]["target"]
            assert np.array_equal(one > 0, two > 0)
            assert len(np.unique(one)) == len(np.unique(two)) == 1 + round(6 * ratio)
    assert np.unique(written[3]["target"]).max() <= 6


# --- sample_instances cityscapes ------------------------------------------------------------------


def test_sample_cityscapes_layout(tmp_path):
    make_cityscapes(make_cityscapes(tmp_path), (2,), "val")
    done = command("sample_instances", "cityscapes", "--data-dir", tmp_path,
                   "--classes", "car", "--ratios", 0.4, 1)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "train car 1.0: 8 of 8 objects, in 2 images; 1 images without" in done.stdout
    lists = tmp_path / "leftImg8bit"
    assert (lists / "train/car_1.0.txt").read_text().splitlines() == [
        f"leftImg8bit/train/ulm/ulm_{n:06d}_000019_leftImg8bit.png" for n in (0, 2)
    ]
    assert len((lists / "val/car_1.0.txt").read_text().splitlines()) == 1
    assert not (lists / "val/car_0.4.txt").exists()
    whole = sampled(tmp_path, "car", 1.0)
    assert objects(whole) == {
        (f"ulm_{n:06d}_000019_gtFine_instanceIds.png", 26000 + car)
        for n, count in ((0, 3), (2, 5))
        for car in range(count)
    }
    assert all(label.dtype == np.uint16 for label in whole.values())
    assert objects(sampled(tmp_path, "car", 0.4)) < objects(whole)


def test_sample_cityscapes_shares_are_met_and_nested(tmp_path):
    """Of 40 cars in two full blocks, a tenth is 4 and so on, exactly."""
    make_cityscapes(tmp_path, (8, 8, 0, 8, 8, 8))
    words = ("--data-dir", tmp_path, "--splits", "train", "--classes", "car", "person")
    assert tool("sample_instances", "cityscapes", *words) == 0
    kept = {r / 10: objects(sampled(tmp_path, "car", r / 10)) for r in range(1, 11)}
    assert [len(kept[r / 10]) for r in range(1, 11)] == [4, 8, 12, 16, 20, 24, 28, 32, 36, 40]
    assert all(kept[r / 10] < kept[(r + 1) / 10] for r in range(1, 10))
    assert len(objects(sampled(tmp_path, "person", 1.0))) == 12


def test_sample_cityscapes_holds_one_label_at_a_time(tmp_path, monkeypatch):
    make_cityscapes(tmp_path, (2,) * 5)
    module = importlib.import_module("tools.sample_instances")
    read, seen, alive = module.read_label, [], []

    def watched(path):
        alive.append(sum(label() is not None for label in seen))
        label = read(path)
        seen.append(weakref.ref(label))
        return label

    monkeypatch.setattr(module, "read_label", watched)
    words = ("--data-dir", tmp_path, "--splits", "train", "--ratios", 0.5, 1)
    assert tool("sample_instances", "cityscapes", *words) == 0
    assert len(alive) == 5 and max(alive) <= 1  # the one before goes as the next is read


def test_sample_cityscapes_all_things_follow_the_seed(tmp_path):
    make_cityscapes(tmp_path, (8, 8, 8))
    samples = []
    for seed in (0, 1, 0):
        words = ("--data-dir", tmp_path, "--splits", "train", "--ratios", 0.3, "--seed", seed)
        assert tool("sample_instances", "cityscapes", *words) == 0
        samples.append(objects(sampled(tmp_path, "all", 0.3)))
    assert samples[0] == samples[2] != samples[1]
    assert {value // 1000 for _, value in samples[0]} == {24, 26}


def test_sample_cityscapes_replaces_an_earlier_sample(tmp_path):
    make_cityscapes(tmp_path, (1,) * 6)
    for seed in range(4):
        words = ("--data-dir", tmp_path, "--splits", "train", "--classes", "car")
        words += ("--ratios", 0.5, "--seed", seed)
        assert tool("sample_instances", "cityscapes", *words) == 0
        listed = (tmp_path / "leftImg8bit/train/car_0.5.txt").read_text().splitlines()
        written = [name.replace("gtFine_instanceIds", "leftImg8bit") for name in
                   sampled(tmp_path, "car", 0.5)]  # fmt: skip
        assert [Path(line).name for line in listed] == written


@pytest.mark.parametrize("groups, value", [("unlabelled", 0), ("ignore", 65535)])
def test_sample_cityscapes_groups(tmp_path, groups, value):
    make_cityscapes(tmp_path, (2,))
    words = ("--data-dir", tmp_path, "--splits", "train", "--ratios", 1, "--groups", groups)
    assert tool("sample_instances", "cityscapes", *words) == 0
    (label,) = sampled(tmp_path, "all", 1.0).values()
    assert (label[30:, :9] == value).all() and (label[30:, 9:] == 0).all()


def test_sample_cityscapes_one_level_deeper(tmp_path):
    make_cityscapes(tmp_path, (2,))
    for kind in ("gtFine", "leftImg8bit"):
        (tmp_path / f"{kind}_trainvaltest").mkdir()
        (tmp_path / kind).rename(tmp_path / f"{kind}_trainvaltest" / kind)
    words = ("--data-dir", tmp_path, "--splits", "train", "--ratios", 1)
    assert tool("sample_instances", "cityscapes", *words) == 0
    line = (tmp_path / "leftImg8bit_trainvaltest/leftImg8bit/train/all_1.0.txt").read_text()
    assert (tmp_path / line.strip()).is_file()


@pytest.mark.parametrize(
    "words, message",
    [
        (["--ratios", "0"], "--ratios holds 0.0; give shares above 0 and up to 1"),
        (["--ratios", "0.5", "1.5"], "--ratios holds 1.5"),
        (["--seed", "-3"], "--seed is -3"),
        (["--splits", "val"], "there is no folder .*gtFine/val"),
    ],
)
def test_sample_cityscapes_bad_input(tmp_path, words, message, capsys):
    make_cityscapes(tmp_path, (1,))
    assert tool("sample_instances", "cityscapes", "--data-dir", tmp_path, *words) == 2
    assert re.search(message, capsys.readouterr().err)


def test_sample_cityscapes_without_images(tmp_path, capsys):
    make_cityscapes(tmp_path, (1,))
    next((tmp_path / "leftImg8bit/train/ulm").iterdir()).unlink()
    assert tool("sample_instances", "cityscapes", "--data-dir", tmp_path) == 2
    assert "instanceIds.png has no image" in capsys.readouterr().err
    next((tmp_path / "gtFine/train/ulm").iterdir()).unlink()
    assert tool("sample_instances", "cityscapes", "--data-dir", tmp_path) == 2
    assert "holds no <city>/*_gtFine_instanceIds.png" in capsys.readouterr().err


def test_sample_real_cityscapes(real_data, tmp_path, capsys):
    """Forty of a hundred cars, as exactly as whole cars allow; the files are as large as before."""
    for kind in ("gtFine", "leftImg8bit"):
        city = tmp_path / kind / "train" / "aachen"
        city.mkdir(parents=True)
        for path in (real_data / "cityscapes_mini" / kind / "train" / "aachen").iterdir():
            (city / path.name).symlink_to(path)
    words = ("--data-dir", tmp_path, "--splits", "train", "--classes", "car", "--ratios", 0.4)
    assert tool("sample_instances", "cityscapes", *words) == 0
    kept, _, total = re.search(r"car 0.4: (\d+) (of) (\d+)", capsys.readouterr().out).groups()
    assert abs(int(kept) - 0.4 * int(total)) <= 5
    path = next((tmp_path / "gtFine/train/aachen/car/0.4").iterdir())
    sampled, whole = read_label(path), read_label(tmp_path / "gtFine/train/aachen" / path.name)
    assert sampled.dtype == np.uint16 and sampled.shape == (1024, 2048)
    assert (whole[sampled > 0] == sampled[sampled > 0]).all()
    assert set(np.unique(sampled).tolist()) <= {0, *range(26000, 27000)}


# --- dataset_statistics ---------------------------------------------------------------------------


def config(tmp_path, tiny, **loader) -> Path:
    tiny["train_loader"] = loader
    path = tmp_path / "config.json"
    path.write_text(json.dumps(tiny))
    return path


def test_statistics_by_hand(tmp_path, tiny, capsys):
    """Objects are 6 columns of 6 x 32 pixels in 40 x 48; the mean over two unlike images."""
    make_folder(tmp_path / "data", count=1)
    write_png(tmp_path / "data/images/1.png", np.full((20, 48, 3), 51, np.uint8))
    write_png(tmp_path / "data/labels/1.png", np.zeros((20, 48), np.uint8))
    args = {"data_dir": str(tmp_path / "data"), "target": "both"}
    path = config(tmp_path, tiny, type="FolderInstances", args=args)
    done = command("dataset_statistics", "-c", path)
    assert done.returncode == 0, done.stderr
    out = done.stdout
    values = np.concatenate([picture().reshape(-1, 3) / 255, np.full((960, 3), 0.2)])
    expected = [values.mean(0).round(4).tolist(), values.std(0).round(4).tolist()]
    line = next(line for line in out.splitlines() if "normalize" in line)
    assert json.loads("{" + line + "}")["normalize"] == expected
    share = 6 * 192 / (1920 + 960)
    row = next(line for line in out.splitlines() if line.startswith("object ")).split()
    assert row[1] == f"{share:.3%}"
    assert float(row[2]) == pytest.approx(1 / np.log(1.02 + share), rel=1e-3)
    assert float(row[3]) == pytest.approx(1 / (2 * share), rel=1e-3)
    assert "objects an image: 0 to 6, median 3" in out
    assert "area of an object: median 192 pixels" in out


def test_statistics_leave_ignored_pixels_out(tmp_path, tiny, capsys):
    label = np.full((10, 10), 255, np.uint8)
    label[:5, :5], label[:5, 5:] = 0, 1
    make_folder(tmp_path / "data", label, count=1)
    write_png(tmp_path / "data/images/0.png", picture(10, 10))
    args = {"data_dir": str(tmp_path / "data"), "classes": ["a", "b", "c"]}
    assert tool("dataset_statistics", "-c", config(tmp_path, tiny, type="Folder", args=args)) == 0
    out = capsys.readouterr().out
    assert "ignored: 50.000%" in out
    line = next(line for line in out.splitlines() if line.strip().startswith("median"))
    assert json.loads("{" + line.split(maxsplit=1)[1] + "}")["class_weights"] == [1, 1, 0]


def test_statistics_without_labels(tmp_path, tiny, capsys):
    """The test images of a public data set: mean and deviation alone."""
    make_cvppp(tmp_path / "data", "test", count=1)
    (tmp_path / "data/test/A1/plant000_label.png").unlink()
    args = {"data_dir": str(tmp_path / "data"), "split": "test", "target": "both"}
    assert tool("dataset_statistics", "-c", config(tmp_path, tiny, type="CVPPP", args=args)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["CVPPP test: 1 images", "", "for the args of a loader:"]
    assert len(lines) == 4 and '"normalize"' in lines[3]


def test_statistics_bad_input(tmp_path, tiny, capsys):
    assert tool("dataset_statistics", "-c", tmp_path / "none.json") == 2
    make_folder(tmp_path / "data", count=1)
    args = {"data_dir": str(tmp_path / "data"), "classes": ["a", "b"]}
    path = config(tmp_path, tiny, type="Folder", args=args)
    assert tool("dataset_statistics", "-c", path) == 2
    assert "0 holds the labels 0 to 6 for 2 classes" in capsys.readouterr().err
    assert tool("dataset_statistics", "-c", path, "--split", "test") == 2
    assert "has no test_loader" in capsys.readouterr().err


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("split_cvppp",),
        ("prepare_tusimple",),
        ("dataset_statistics",),
        ("sample_instances", "cvppp"),
        ("sample_instances", "cityscapes"),
    ],
)
def test_help(words, capsys):
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"tools.{words[0]}").parse([*words[1:], "--help"])
    assert stop.value.code == 0 and "usage:" in capsys.readouterr().out
