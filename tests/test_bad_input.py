"""What a user gets wrong: exit code 2, one clear message, nothing half-written."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import evaluate
import inference
import train
from utils.command import run

ROOT = Path(__file__).parent.parent

CONFIG = {
    "name": "bad",
    "arch": {"type": "ENet", "args": {}},
    "train_loader": {"type": "Shapes", "args": {"length": 4, "size": 32, "batch_size": 2}},
    "val_loader": {"type": "Shapes", "args": {"split": "val", "length": 4, "size": 32}},
    "loss": "CrossEntropy",
    "optimizer": {"type": "SGD", "args": {"lr": 0.01}},
    "n_gpu": 0,
    "trainer": {"iterations": 2, "tensorboard": False},
}

TWO_MAPS = ["train_loader.args.target=both", "val_loader.args.target=both"]


@pytest.fixture
def config(tmp_path) -> dict:
    """A config that trains two batches, into the test's folder."""
    return in_folder(tmp_path)


def in_folder(folder: Path) -> dict:
    made = copy.deepcopy(CONFIG)
    made["trainer"]["save_dir"] = str(folder / "saved")
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """The last checkpoint of a run of two batches."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        assert run(lambda: train.main(train.parse(["-c", save(in_folder(folder), folder)]))) == 0
    (checkpoint,) = folder.glob("saved/bad/*/last.pth")
    return checkpoint


@pytest.fixture
def refused(tmp_path, capfd):
    """Runs a command that must refuse; gives its message and the files it wrote."""

    def call(command: ModuleType, *argv: str | Path, says: tuple = (), before: str = ""):
        """`says`: what the message must hold; `before`: pattern of what may stand before it."""
        capfd.readouterr()
        there = files(tmp_path)
        code = run(lambda: command.main(command.parse([str(word) for word in argv])))
        err = capfd.readouterr().err
        check(code, err, says, before)
        return err, files(tmp_path) - there

    return call


@pytest.fixture
def refused_unwritten(refused):
    """As `refused`, where not a single file may be written."""

    def call(*args, **options) -> str:
        message, written = refused(*args, **options)
        assert not written
        return message

    return call


def check(code: int, err: str, says: tuple, before: str = "") -> None:
    assert code == 2, err
    assert "Traceback" not in err
    assert len(re.findall("^error: ", err, re.MULTILINE)) == 1, err
    assert re.match(rf"{before}error: ", err), err
    for words in says:
        assert str(words) in err


def files(folder: Path) -> set[Path]:
    """Files and folders below a folder, without the cache of label scans."""
    paths = {path.relative_to(folder) for path in folder.rglob("*")}
    return {path for path in paths if path.parts[0] != "cache"}


def save(content: dict | str, folder: Path, name: str = "config.json") -> str:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def sets(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


# ---------------------------------------------------------------- the config file


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param('{\n  "name": "x",\n  "arch": oops\n}', ["line 3 column 11"], id="malformed"),
        pytest.param('{"name": "a", "name": "b"}', ["'name'", "twice"], id="key twice"),
        pytest.param("[1, 2]", ["holds a list", "an object {...}"], id="a list"),
        pytest.param('{"extends": [3]}', ["extends", "3 is no path"], id="extends a number"),
        pytest.param(
            '{"extends": "gone.json"}', ["gone.json", "cannot be read"], id="extends gone"
        ),
    ],
)
def test_config_that_is_no_config(text, says, tmp_path, refused_unwritten):
    path = save(text, tmp_path)
    refused_unwritten(train, "-c", path, says=[tmp_path, *says])


def test_config_that_cannot_be_read(tmp_path, refused_unwritten):
    gone, binary = tmp_path / "gone.json", tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    refused_unwritten(train, "-c", gone, says=[gone, "cannot be read", "No such file"])
    refused_unwritten(train, "-c", binary, says=[binary, "not UTF-8"])
    refused_unwritten(train, "-c", tmp_path, says=[tmp_path, "cannot be read", "directory"])


def test_extends_in_a_circle(tmp_path, refused_unwritten):
    first = save({"extends": "b.json"}, tmp_path, "a.json")
    save({"extends": "a.json"}, tmp_path, "b.json")
    refused_unwritten(
        train, "-c", first, says=['"extends"', "circle", "a.json -> b.json -> a.json"]
    )


SETTINGS = {
    "unknown key": (
        ["train_loader.args.batchsize=2"],
        ["train_loader.args: unknown key 'batchsize'", "did you mean 'batch_size'"],
    ),
    "unknown key at the top": (["losss=1"], ["top level: unknown key 'losss'", "'loss'?"]),
    "unknown type": (["arch.type=ENett"], ["arch.type: unknown 'ENett'", "did you mean 'ENet'"]),
    "unknown loss": (["loss=CrossEntropi"], ["loss: unknown 'CrossEntropi'", "'CrossEntropy'"]),
    "unknown backbone": (
        ["arch.type=UNet", "arch.args.backbone=resnet17"],
        ["arch.args.backbone: unknown 'resnet17'", "'resnet18'", "(or timm/<name>)"],
    ),
    "wrong type": (
        ["train_loader.args.batch_size=two"],
        ['train_loader.args.batch_size: "two" is not a whole number'],
    ),
    "wrong type in an optimizer": (["optimizer.args.lr=fast"], ["optimizer", "lr", '"fast"']),
    "fraction for a whole number": (["trainer.iterations=2.0"], ["trainer.iterations", "2.0"]),
    "missing section": (["optimizer=null"], ["optimizer: null is not an object {...}"]),
    "missing argument": (
        ["train_loader.type=Folder", 'train_loader.args={"data_dir": "x"}'],
        ["train_loader.args: the key 'classes' is missing"],
    ),
    "setting without =": (["seed"], ["--set seed", "key.key=value"]),
    "setting below a value": (["name.first=x"], ["--set name.first=x", '"bad"', "no keys"]),
    "setting past a list": (
        ['loss=[{"type": "CrossEntropy"}]', "loss.3.weight=2"],
        ["--set loss.3.weight=2", "a list of 1", "'3' is not an index"],
    ),
    "neither epochs nor iterations": (
        ["trainer.iterations=null"],
        ["trainer", "either epochs or iterations"],
    ),
    "epochs and iterations": (["trainer.epochs=2"], ["trainer", "either epochs or iterations"]),
    "no epochs": (["trainer.iterations=null", "trainer.epochs=0"], ["trainer", "epochs is 0"]),
    "monitor of no metric": (
        ["trainer.monitor=max Mean_IoO"],
        ["trainer.monitor", "no score 'Mean_IoO'", "did you mean 'Mean_IoU'"],
    ),
    "monitor under another name": (
        ["trainer.monitor=max Mean_Recall"],
        ["trainer.monitor: there is no score 'Mean_Recall'; it is called 'Mean_Accuracy' here"],
    ),
    "monitor of a class under another name": (
        ["trainer.monitor=max F1/disc"],
        ["there is no score 'F1/disc'; it is called 'Dice/disc' here"],
    ),
    "metric of no output": (
        ['metric=[{"type": "KittiRoad", "args": {"output": "road"}}]'],
        ["KittiRoad reads the output 'road'", "outputs are 'out'", '"output" to one that a loss'],
    ),
    "labeler that needs known pixels": (
        ["labeler.type=Seeded"],
        ["labeler: Seeded works from known pixels", "take one that needs none, such as MeanShift"],
    ),
    "labeler of no output": (
        ['labeler={"type": "Argmax", "args": {"output": "road"}}'],
        ['the labeler reads the output "road"', 'the model gives "out"'],
    ),
    "metric of other channels": (
        ['metric=[{"type": "KittiRoad"}]', "loss=Discriminative", *TWO_MAPS],
        ["KittiRoad reads 4 channels, one a class", "'out' has 8"],
    ),
    "malformed monitor": (
        ["trainer.monitor=best Mean_IoU"],
        ["trainer.monitor is 'best Mean_IoU'", '"max <score>"'],
    ),
    "monitor without a score": (["trainer.monitor=max"], ["trainer.monitor is 'max'"]),
    "accumulate out of range": (["trainer.accumulate=0"], ["trainer", "accumulate is 0", "1 is"]),
    "decay out of range": (["trainer.ema_decay=1"], ["trainer", "ema_decay is 1"]),
    "learning rate out of range": (["optimizer.args.lr=-1"], ["optimizer SGD", "-1"]),
    "batch size out of range": (
        ["train_loader.args.batch_size=0"],
        ["train_loader", "batch_size is 0", "at least 1"],
    ),
    "crop size out of range": (["train_loader.args.crop_size=0"], ["crop_size 0", "above zero"]),
    "no full batch": (
        ["train_loader.args.batch_size=9", "train_loader.args.drop_last=true"],
        ["train_loader", "batch_size 9", "no batch of 4 images"],
    ),
    "flags beside transforms": (
        ["train_loader.args.augment=true", 'transforms=[{"type": "Warp"}]'],
        ["transforms", "'augment'", "leave"],
    ),
    "ignored class": (["ignore_index=1"], ["ignore_index 1 is the class", "outside 0 to 3"]),
    "too few class weights": (
        ['loss={"type": "CrossEntropy", "args": {"class_weights": [1, 2]}}'],
        ["loss CrossEntropy", "class_weights has 2 numbers for 4 classes"],
    ),
    "one value for a norm": (
        ["arch.type=UNet", "arch.args.backbone=resnet18", "train_loader.args.batch_size=1"],
        ["norm layer", "one value per channel", "batch of 1 at 32x32", "raise batch_size"],
    ),
    "one value for a norm, last batch": (
        [
            "arch.type=UNet",
            "arch.args.backbone=resnet18",
            "train_loader.args.batch_size=3",
        ],
        ["norm layer", "batch of 1", "set drop_last"],
    ),
    "a width below one": (
        ["arch.type=FPN", "arch.args.pyramid_channels=0"],
        ["arch.args.pyramid_channels: 0 is too small; 1 is the least"],
    ),
    "no backbone's weights": (
        ["arch.type=FPN", "arch.args.pretrained=/etc/passwd"],
        ["/etc/passwd is no checkpoint"],
    ),
    "other channels": (
        ["arch.args.in_channels=4"],
        ["images have 3 channels, the model reads 4", "arch.args.in_channels to 3"],
    ),
    "more channels than the network's first layer": (
        ["arch.args.in_channels=20"],
        ["model ENet", "in_channels is 20"],
    ),
    "optimizer that needs a closure": (["optimizer.type=LBFGS"], ["optimizer", "'LBFGS'"]),
    "optimizer of sparse gradients": (["optimizer.type=SparseAdam"], ["optimizer", "'SparseAdam'"]),
    "a name that leaves its folder": (
        ["name=../up"],
        ["name is '../up'; it names a folder, so give a word without slashes"],
    ),
    "no name": (["name="], ["name is ''; it names a folder"]),
    "a name longer than folders' names": (["name=" + 300 * "a"], ["255 characters at most"]),
    "characters that no path has": (
        [r'name="a\u0000b"', r'trainer.save_dir="a\ud800"'],
        [r'name: "a\u0000b" has a character', r'trainer.save_dir: "a\ud800" has a character'],
    ),
    "negative seed": (["seed=-1", "train_loader.args.shuffle=true"], ["seed", "-1"]),
    "missing weights to start from": (["init_from=gone.pth"], ["no checkpoint gone.pth"]),
    "instance ids for a loss on classes": (
        ["train_loader.args.target=instance", "val_loader.args.target=instance"],
        ["CrossEntropy", "semantic", "instance"],
    ),
    "normalize of other channels": (
        ["train_loader.args.normalize=[[0.5], [0.5]]"],
        ['"normalize" has 1 means', "3 channels"],
    ),
}


@pytest.mark.parametrize(("settings", "says"), SETTINGS.values(), ids=SETTINGS)
def test_setting(settings, says, config, tmp_path, refused_unwritten):
    refused_unwritten(train, "-c", save(config, tmp_path), *sets(*settings), says=says)


@pytest.mark.parametrize("words", [(), ("--check",), ("-r", "auto"), ("--sweep", "seed=[0,1]")])
def test_a_name_that_is_no_folders_is_refused_the_same_everywhere(
    words, config, tmp_path, refused_unwritten
):
    config["name"] = "a/b"
    said = refused_unwritten(train, "-c", save(config, tmp_path), *words)
    assert said.startswith("error: name is 'a/b'; it names a folder")


def test_all_problems_of_a_config_are_reported_together(config, tmp_path, refused_unwritten):
    config["seeed"] = 1
    config["arch"]["type"] = "Enett"
    config["train_loader"]["args"] |= {"batch_size": "two", "shufle": True}
    del config["optimizer"]
    path = save(config, tmp_path)
    message = refused_unwritten(
        train,
        "-c",
        path,
        says=[path, "'seed'", "'ENet'", "batch_size", "'shuffle'", "key 'optimizer' is missing"],
    )
    assert len(message.splitlines()) == 6


@pytest.mark.parametrize(("there", "has"), [(0, "no GPU"), (1, "GPU 0 alone")])
def test_gpu_that_is_not_there(there, has, config, tmp_path, monkeypatch, refused_unwritten):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    path = save(config, tmp_path)
    refused_unwritten(train, "-c", path, "-d", "3", says=["-d 3", has, '"-d cpu"'])


def test_run_folder_that_cannot_be_written(config, tmp_path, refused_unwritten):
    (tmp_path / "file").write_text("")
    config["trainer"]["save_dir"] = str(tmp_path / "file" / "saved")
    refused_unwritten(
        train,
        "-c",
        save(config, tmp_path),
        says=[tmp_path / "file", "cannot be written", "trainer.save_dir"],
    )


def test_log_dir_that_cannot_be_written(config, tmp_path, refused_unwritten):
    (tmp_path / "file").write_text("")
    config["trainer"] |= {"tensorboard": True, "log_dir": str(tmp_path / "file" / "events")}
    refused_unwritten(
        train, "-c", save(config, tmp_path), says=[tmp_path / "file", "written", "trainer.log_dir"]
    )


def test_loss_that_is_not_finite(config, tmp_path, refused):
    config["optimizer"]["args"]["lr"] = 1e30
    config["trainer"]["iterations"] = 8
    _, written = refused(
        train,
        "-c",
        save(config, tmp_path),
        says=["loss term 'ce' is ", "at iteration ", "train_000", "lower the learning rate"],
    )
    assert not [path for path in written if path.suffix in (".part", ".pth")]


# ---------------------------------------------------------------- a user's data


def folder_data(root: Path, sizes: list[tuple[int, int]] = ((32, 32),) * 2) -> dict:
    """Noise images `a.png`, `b.png`, ... with labels 0 and 1, and the loader section for them."""
    rng = np.random.default_rng(0)
    for name, size in zip("abcdefgh", sizes, strict=False):
        write(root / "images" / f"{name}.png", rng.integers(0, 256, (*size, 3)))
        write(root / "labels" / f"{name}.png", rng.integers(0, 2, size))
    args = {"data_dir": str(root), "classes": ["sky", "ground"], "batch_size": 2}
    return {"type": "Folder", "args": args}


def camvid_data(root: Path) -> dict:
    """CamVid's folders with two images of class 3 each, and the loader section for them."""
    for name in "ab":
        write(root / "train" / f"{name}.png", np.zeros((32, 32, 3)))
        write(root / "trainannot" / f"{name}.png", np.full((32, 32), 3))
    return {"type": "CamVid", "args": {"data_dir": str(root), "batch_size": 2}}


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def data(tmp_path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def refuse_data(config, tmp_path, refused_unwritten):
    """Trains on a loader section, which must be refused before a run folder is made."""

    def call(section: dict, *says: str | Path, before: str = "") -> str:
        config["train_loader"], config["val_loader"] = section, None
        return refused_unwritten(train, "-c", save(config, tmp_path), says=says, before=before)

    return call


def test_missing_data_folder(data, refuse_data):
    section = folder_data(data / "there")
    section["args"]["data_dir"] = str(data / "gone")
    refuse_data(section, "data_dir", data / "gone", "there is no folder")


def test_missing_relative_data_folder(data, monkeypatch, refuse_data):
    monkeypatch.setenv("SEGFORGE_DATA", str(data))
    section = {"type": "CamVid", "args": {"data_dir": "gone"}}
    refuse_data(section, Path.cwd() / "gone", data / "gone")
    monkeypatch.delenv("SEGFORGE_DATA")
    refuse_data(section, Path.cwd() / "gone", "$SEGFORGE_DATA")


def test_missing_folder_inside_the_data(data, refuse_data):
    section = camvid_data(data)
    section["args"]["split"] = "val"
    refuse_data(section, "there is no folder", data / "val")


@pytest.mark.parametrize("make", [folder_data, camvid_data])
def test_image_without_label_and_label_without_image(make, data, refuse_data):
    section = make(data)
    images, labels = sorted(p for p in data.iterdir() if p.is_dir())
    (labels / "a.png").unlink()
    (images / "b.png").unlink()
    refuse_data(section, f"{images / 'a.png'} has no label", f"{labels / 'b.png'} has no image")


@pytest.mark.parametrize("make", [folder_data, camvid_data])
def test_image_and_label_of_different_size(make, data, refuse_data):
    section = make(data)
    images, labels = sorted(p for p in data.iterdir() if p.is_dir())
    write(labels / "b.png", np.zeros((32, 40)))
    refuse_data(
        section, f"{images / 'b.png'} is 32x32", f"{labels / 'b.png'} 40x32", "must be of one size"
    )


@pytest.mark.parametrize(("make", "classes"), [(folder_data, 2), (camvid_data, 11)])
def test_label_that_is_no_class(make, classes, data, refuse_data):
    section = make(data)
    labels = sorted(p for p in data.iterdir() if p.is_dir())[1]
    label = np.zeros((32, 32))
    label[:2, :5] = 77
    write(labels / "b.png", label)
    refuse_data(
        section, labels / "b.png", "label value 77 (10 pixels)", f"not one of the {classes} classes"
    )


def test_label_that_is_no_class_in_validation(config, data, tmp_path, refused_unwritten):
    config["val_loader"] = folder_data(data)
    config["train_loader"] = folder_data(tmp_path / "other")
    write(data / "labels" / "a.png", np.full((32, 32), 9))
    refused_unwritten(
        train, "-c", save(config, tmp_path), says=[data / "labels" / "a.png", "label value 9"]
    )


def test_colour_that_is_no_class(data, refuse_data):
    section = folder_data(data)
    section["args"]["colors"] = {"sky": [0, 0, 255], "ground": [9, 9, 9]}
    for name in "ab":
        write(data / "labels" / f"{name}.png", np.full((32, 32, 3), (0, 0, 255)))
    label = np.full((32, 32, 3), (9, 9, 9))
    label[:3, :3] = 1, 2, 3
    write(data / "labels" / "b.png", label)
    refuse_data(section, data / "labels" / "b.png", "the colour [1, 2, 3] (9 pixels)", '"colors"')


def test_ids_where_colours_are_expected(data, refuse_data):
    section = folder_data(data)
    section["args"]["colors"] = {"sky": [0, 0, 255], "ground": [9, 9, 9]}
    refuse_data(section, data / "labels" / "a.png", "ids, not colours", 'leave "colors" out')


def test_colours_where_ids_are_expected(data, refuse_data):
    section = folder_data(data)
    write(data / "labels" / "a.png", np.zeros((32, 32, 3)))
    refuse_data(section, data / "labels" / "a.png", "colours, not class ids", '"colors"')


def test_colors_that_do_not_fit_the_classes(data, refuse_data):
    section = folder_data(data)
    section["args"]["colors"] = {"sky": [0, 0, 255], "grund": [9, 9, 9]}
    refuse_data(section, "dataset Folder", "colors", "'grund'", "not in classes")


def test_masks_of_0_and_255_are_told_of_remap(data, refuse_data):
    section = folder_data(data)
    for path in (data / "labels").iterdir():
        label = np.zeros((32, 32))
        label[8:] = 255
        write(path, label)
    refuse_data(section, "0 and 255 alone", '"remap": {"255": 1}')


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    path.write_bytes(b"this is no image" * 20)


def scratch(path: Path) -> None:
    """Overwrite the middle, so that both ends look sound."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle - 8 : middle + 8] = bytes(16)
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [cut, empty, garble])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_image_that_cannot_be_read(suffix, spoil, data, refuse_data):
    section = folder_data(data)
    path = (data / "images" / "b.png").with_suffix(f".{suffix}")
    (data / "images" / "b.png").unlink()
    write(path, np.random.default_rng(0).integers(0, 256, (32, 32, 3)))
    spoil(path)
    what = {cut: "is truncated", empty: "is empty", garble: "is not an image"}[spoil]
    refuse_data(section, f"{path} {what}")


@pytest.mark.parametrize("kind", ["images", "labels", "palette labels"])
@pytest.mark.parametrize("spoil", [cut, scratch])
def test_damaged_png(kind, spoil, data, refuse_data):
    section = folder_data(data)
    path = data / kind.split()[-1] / "b.png"
    if kind == "palette labels":
        picture = Image.open(path)
        picture.putpalette(list(range(256)) * 3)
        picture.save(path)
    spoil(path)
    refuse_data(section, path, before="(libpng .*\n)*")  # written by the library itself


def test_image_of_other_channels(data, refuse_data):
    section = folder_data(data)
    section["args"] |= {"channels": 4, "normalize": "image"}
    refuse_data(section, data / "images" / "a.png", "holds 3 channels", "asks for 4")


def test_empty_split(data, refuse_data):
    section = folder_data(data)
    section["args"]["split"] = "test"
    for kind in ("images", "labels"):
        (data / kind / "test").mkdir()
    refuse_data(section, "split 'test' of Folder", data, "has no images")


def test_list_file(data, refuse_data):
    section = folder_data(data)
    section["args"]["list"] = "{split}.txt"
    refuse_data(section, "'{split}.txt' has a place for the split", '"split"')
    section["args"]["split"] = "train"
    refuse_data(section, "list", "there is no file", data / "train.txt")
    save("images/a.png labels/a.png\nimages/b.png\n", data, "train.txt")
    refuse_data(section, data / "train.txt", "line 2", "an image and a label")
    save("images/a.png labels/a.png\n\nimages/c.png labels/b.png\n", data, "train.txt")
    refuse_data(section, data / "train.txt", "line 3", "there is no file", data / "images/c.png")
    save("images/c.png labels/a.png\nimages/a.png labels/c.png\n", data, "train.txt")
    refuse_data(section, "line 1: there is no file", "line 2: there is no file")


@pytest.mark.parametrize("alike", [1, 3])
def test_images_of_different_size_in_a_batch(alike, data, refuse_data):
    """Also where the first batch has images of one size."""
    section = folder_data(data, [(32, 32)] * alike + [(40, 48)])
    refuse_data(section, "differ in size", "32x32", "48x40", '"crop_size"')


# ---------------------------------------------------------------- weights


class SideEffect:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def plain_pickle(content: dict, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("dump", [torch.save, plain_pickle])
@pytest.mark.parametrize("command", ["train", "evaluate", "inference"])
def test_checkpoint_with_code_is_not_run(command, dump, tmp_path, data, refused_unwritten):
    path, mark = tmp_path / "evil.pth", tmp_path / "it-ran"
    dump({"state_dict": {}, "note": SideEffect(mark)}, path)
    folder_data(data)
    argv = {
        "train": [train, "-r", path],
        "evaluate": [evaluate, "-m", path, "-o", tmp_path / "out"],
        "inference": [inference, "-m", path, "-i", data / "images", "-o", tmp_path / "out"],
    }
    refused_unwritten(*argv[command], says=[path, "run code", "refused"])
    assert not mark.exists()


def test_pretrained_weights_with_code_are_not_run(config, tmp_path, refused_unwritten):
    path, mark = tmp_path / "evil.pth", tmp_path / "it-ran"
    torch.save(SideEffect(mark), path)
    config["arch"] = {"type": "UNet", "args": {"backbone": "resnet18", "pretrained": str(path)}}
    refused_unwritten(train, "-c", save(config, tmp_path), says=[path, "run code", "refused"])
    assert not mark.exists()


def test_missing_checkpoint(model, tmp_path, refused_unwritten):
    gone = tmp_path / "gone.pth"
    refused_unwritten(train, "-r", gone, says=["no checkpoint", gone, "check the path"])
    refused_unwritten(evaluate, "-m", gone, says=["no checkpoint", gone])
    near = model.with_name("lost.pth")
    refused_unwritten(train, "-r", near, says=["no checkpoint", near, "did you mean 'last.pth'?"])


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_truncated_checkpoint(share, model, tmp_path, refused_unwritten):
    path = tmp_path / "cut.pth"
    path.write_bytes(model.read_bytes()[: int(model.stat().st_size * share)])
    refused_unwritten(evaluate, "-m", path, says=[path, "damaged", "earlier checkpoint"])


def test_checkpoint_that_is_another_kind_of_file(tmp_path, refused_unwritten):
    picture, text = tmp_path / "picture.png", Path(save("hello, weights\n", tmp_path, "text.pth"))
    write(picture, np.zeros((8, 8)))
    for path in (picture, text):
        message = refused_unwritten(evaluate, "-m", path, says=[path, "no checkpoint"])
        assert "run code" not in message


def test_plain_state_dict_is_no_checkpoint(model, tmp_path, data, refused_unwritten):
    path = tmp_path / "weights.pth"
    torch.save(torch.load(model)["state_dict"], path)
    folder_data(data)
    says = [path, "no checkpoint of a run", '"init_from"']
    refused_unwritten(inference, "-m", path, "-i", data, "-o", tmp_path / "out", says=says)
    refused_unwritten(train, "-r", path, says=says)


def test_checkpoint_that_lacks_a_part(model, tmp_path, refused_unwritten):
    state = torch.load(model)
    del state["out_channels"]
    torch.save(state, tmp_path / "part.pth")
    refused_unwritten(
        evaluate, "-m", tmp_path / "part.pth", says=[tmp_path / "part.pth", "has no out_channels"]
    )


UNET = {"type": "UNet", "args": {"backbone": "resnet18", "decoder_channels": [16, 16, 16, 16]}}


def test_checkpoint_of_another_architecture(model, tmp_path, refused_unwritten):
    state = torch.load(model)
    path = tmp_path / "swapped.pth"
    torch.save({**state, "arch": UNET}, path)
    refused_unwritten(
        evaluate,
        "-m",
        path,
        says=[path, "does not fit", "UNet", "0 of ", "tensors match", "missing (", "not in this m"],
    )


def test_checkpoint_of_another_shape(model, tmp_path, refused_unwritten):
    path = tmp_path / "swapped.pth"
    torch.save({**torch.load(model), "out_channels": 7}, path)
    refused_unwritten(evaluate, "-m", path, says=[path, "ENet", "of another shape", "(16, 4, "])


def test_resume_with_another_architecture(model, config, tmp_path, refused_unwritten):
    config["arch"] = UNET
    refused_unwritten(
        train,
        "-r",
        model,
        "-c",
        save(config, tmp_path),
        says=[model, "does not fit", "UNet", "tensors match", "missing (", "not in this model ("],
    )


def test_resume_with_another_optimizer(model, config, tmp_path, refused_unwritten):
    config["optimizer"] = {"type": "Adam", "args": {"lr": 0.01}}
    config["trainer"]["iterations"] = 4
    refused_unwritten(
        train,
        "-r",
        model,
        "-c",
        save(config, tmp_path),
        says=["optimizer", "Adam", "SGD", "init_from"],
    )


def test_resume_inside_an_epoch_of_another_length(config, tmp_path, refused):
    config["trainer"]["iterations"] = 1
    path = save(config, tmp_path)
    assert run(lambda: train.main(train.parse(["-c", path]))) == 0
    (checkpoint,) = tmp_path.glob("saved/bad/*/last.pth")
    config["train_loader"]["args"] |= {"length": 8}
    refused(
        train,
        "-r",
        checkpoint,
        "-c",
        save(config, tmp_path),
        says=["epochs of 2 batches", "makes 4"],
    )


def test_pretrained_without_a_network(config, tmp_path, monkeypatch, refused):
    def unreachable(*_, **__):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    config["arch"] = {"type": "UNet", "args": {"backbone": "resnet18", "pretrained": True}}
    _, written = refused(
        train,
        "-c",
        save(config, tmp_path),
        says=[
            "pretrained weights of resnet18",
            tmp_path / "torch",
            '"pretrained" to false, or to the path',
        ],
        before="(Downloading: .*\n)?",
    )
    assert all(path.parts[0] == "torch" for path in written)


def test_pretrained_weights_that_do_not_fit(config, tmp_path, refused_unwritten):
    path = tmp_path / "other.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 5, 5)}, path)
    config["arch"] = {"type": "UNet", "args": {"backbone": "resnet18", "pretrained": str(path)}}
    refused_unwritten(
        train,
        "-c",
        save(config, tmp_path),
        says=[path, "do not fit resnet18", "tensors missing", "1 of another shape"],
    )


def test_missing_pretrained_weights(config, tmp_path, refused_unwritten):
    path = tmp_path / "gone.pth"
    config["arch"] = {"type": "UNet", "args": {"backbone": "resnet18", "pretrained": str(path)}}
    refused_unwritten(train, "-c", save(config, tmp_path), says=["there is no", path])


# ---------------------------------------------------------------- inference and evaluation


def test_inference_without_images(model, tmp_path, refused_unwritten):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    for name, says in (("empty", "no image with .png"), ("gone", "no such file or folder")):
        argv = ("-m", model, "-i", tmp_path / name, "-o", tmp_path / "out")
        refused_unwritten(inference, *argv, says=["--images", tmp_path / name, says])


@pytest.mark.parametrize("spoil", [cut, garble])
def test_inference_goes_on_after_a_corrupt_image(spoil, model, data, tmp_path, refused):
    folder_data(data, [(32, 32)] * 3)
    spoil(data / "images" / "b.png")
    _, written = refused(
        inference,
        *("-m", model, "-i", data / "images", "-o", tmp_path / "out", "--save", "ids"),
        says=["could not be read", data / "images" / "b.png"],
    )
    assert written == {Path("out"), Path("out/a_ids.png"), Path("out/c_ids.png")}


def test_inference_output_that_cannot_be_written(model, data, tmp_path, refused_unwritten):
    folder_data(data)
    (tmp_path / "file").write_text("")
    argv = ("-m", model, "-i", data / "images", "-o", tmp_path / "file" / "out")
    refused_unwritten(inference, *argv, says=[tmp_path / "file" / "out", "cannot be written"])


@pytest.mark.parametrize("command", [inference, evaluate])
def test_unknown_mode(command, model, data, tmp_path, refused_unwritten):
    folder_data(data)
    images = ["-i", data / "images"] if command is inference else []
    argv = ("-m", model, "-o", tmp_path / "out", "--mode", "hole", *images)
    refused_unwritten(command, *argv, says=["unknown predictor 'hole'", "'Whole'"])


@pytest.mark.parametrize("command", [train, evaluate, inference])
def test_import_of_a_package_that_does_not_exist(command, model, refused_unwritten):
    argv = {train: (), evaluate: ("-m", model), inference: ("-m", model, "-i", "x")}[command]
    refused_unwritten(
        command, *argv, "--import", "no_such_package", says=["--import no_such_package", Path.cwd()]
    )


def test_evaluation_of_other_classes(model, tmp_path, refused_unwritten):
    path = tmp_path / "other.pth"
    torch.save({**torch.load(model), "classes": ["one", "two", "three", "four"]}, path)
    refused_unwritten(
        evaluate,
        *("-m", path, "-o", tmp_path / "out"),
        says=["background, disc, square, triangle", "trained on one, two, three, four"],
    )


def test_evaluation_of_an_unknown_split(model, tmp_path, refused_unwritten):
    argv = ("-m", model, "-o", tmp_path / "out", "--split", "tset")
    refused_unwritten(evaluate, *argv, says=["split", "tset", "test"])


@pytest.fixture
def folder_model(config, data, tmp_path) -> Path:
    """The checkpoint of a run on `data`."""
    config["train_loader"] = config["val_loader"] = folder_data(data)
    assert run(lambda: train.main(train.parse(["-c", save(config, tmp_path)]))) == 0
    (checkpoint,) = tmp_path.glob("saved/bad/*/last.pth")
    return checkpoint


def test_evaluation_of_labels_that_are_no_class(folder_model, tmp_path, refused_unwritten):
    other = tmp_path / "other"
    folder_data(other)
    write(other / "labels" / "b.png", np.full((32, 32), 9))
    refused_unwritten(
        evaluate,
        *("-m", folder_model, "--data-dir", other, "-o", tmp_path / "out"),
        says=[other / "labels" / "b.png", "label value 9 (1024 pixels)"],
    )


def test_evaluation_of_a_missing_data_folder(folder_model, tmp_path, refused_unwritten):
    argv = ("-m", folder_model, "--data-dir", tmp_path / "gone", "-o", tmp_path / "out")
    refused_unwritten(evaluate, *argv, says=[tmp_path / "gone", "there is no folder"])


def test_evaluation_that_cannot_be_written(model, tmp_path, refused_unwritten):
    (tmp_path / "file").write_text("")
    argv = ("-m", model, "-o", tmp_path / "file" / "out")
    refused_unwritten(evaluate, *argv, says=["--output", tmp_path / "file", "cannot be written"])


# ---------------------------------------------------------------- as a user runs it


def command_line(*argv: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *map(str, argv)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_command_line_train(tmp_path):
    path = save('{\n  "name" "x"\n}', tmp_path)
    done = command_line("train.py", "-c", path)
    check(done.returncode, done.stderr, [path, "line 2 column 10"])
    assert files(tmp_path) == {Path("config.json")}


def test_command_line_inference(model, data, tmp_path):
    folder_data(data)
    cut(data / "images" / "a.png")
    out = tmp_path / "out"
    done = command_line("inference.py", "-m", model, "-i", data / "images", "-o", out, "-d", "cpu")
    check(done.returncode, done.stderr, [data / "images" / "a.png", "truncated"])
    assert {p.name for p in out.iterdir()} == {"b.png", "b_ids.png", "b_overlay.png"}


def test_command_line_config_for_a_model(tmp_path):
    """A config's optimizer and trainer are known where only its predictor is used."""
    words = (
        "-m",
        tmp_path / "gone.pth",
        "-i",
        tmp_path,
        "-c",
        ROOT / "configs" / "quickstart.json",
    )
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    done = command_line("inference.py", *words, "-o", tmp_path / "out")
    check(done.returncode, done.stderr, ["there is no checkpoint", tmp_path / "gone.pth"])


def test_command_line_evaluate(tmp_path):
    done = command_line("evaluate.py", "-m", tmp_path / "gone.pth")
    check(done.returncode, done.stderr, ["there is no checkpoint", tmp_path / "gone.pth"])
    assert not files(tmp_path)


def test_memory_that_is_full(capsys):
    def work() -> None:
        torch.empty(2**60)

    says = ("the memory is full", "allocate memory", "--mode sliding")
    check(run(work), capsys.readouterr().err, says)


def test_a_gpu_that_is_full(capsys):
    def work() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB. GPU 0 has")

    says = ("the GPU's memory is full", "--mode sliding", "(CUDA out of memory. Tried")
    check(run(work), capsys.readouterr().err, says)
