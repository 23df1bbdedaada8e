"""What every data set promises; layouts written to disk; the real samples."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from layouts import LAYOUTS, camvid, lines
from PIL import Image
from processes import ROOT

from base.base_dataloader import GRACE, BaseDataLoader
from base.samplers import EpochSampler
from dataloaders import DATASETS, Folder, make_dataset, make_loader
from dataloaders.check import check_dataset
from dataloaders.files import noting_unpaired
from utils.errors import UserError
from utils.image_io import read_image, read_label, write_png
from utils.normalization import Normalization, make_normalization

CLASSES = ["ground", "tree", "house"]


def noise(height=12, width=16, channels=3, dtype=np.uint8) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def ids(height=12, width=16, classes=3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, classes, (height, width), dtype=np.uint8)


def make_folder(root, count=3, label=ids, image=noise):
    for index in range(count):
        write_png(root / "images" / f"{index}.png", image())
        write_png(root / "labels" / f"{index}.png", label())
    return root


def folder_section(root, **args) -> dict:
    return {"type": "Folder", "args": {"data_dir": str(root), "classes": CLASSES, **args}}


def folder(root, **args):
    return DATASETS.build(folder_section(root, **args), ignore_index=255)


# --- contract -------------------------------------------------------------------------------------


def any_section(name, root) -> dict:
    if name in LAYOUTS:
        _, write = LAYOUTS[name]
        write(root)
        return {"type": name, "args": {"data_dir": str(root)}}
    if name == "Folder":
        return folder_section(make_folder(root))
    shapes = {"type": "Shapes", "args": {"length": 3, "size": 32}}
    args = {"Concat": {"datasets": [shapes] * 2}, "Repeat": {"dataset": shapes, "times": 2}}
    return {"type": name, "args": args[name]} if name in args else shapes


def any_dataset(name, tmp_path):
    return DATASETS.build(any_section(name, tmp_path), ignore_index=255)


@pytest.mark.parametrize("name", DATASETS)
def test_items(name, tmp_path):
    dataset = any_dataset(name, tmp_path)
    item = dataset[0]
    channels, height, width = item["image"].shape
    assert item["image"].dtype == torch.float32 and channels == dataset.channels
    assert item["target"].shape == (height, width) and item["target"].dtype == torch.int64
    if dataset.targets == ("semantic",):
        allowed = {*range(len(dataset.classes)), dataset.ignore_index}
        assert set(item["target"].unique().tolist()) <= allowed
    else:
        assert item["target"].min() >= -1 and item["target"].max() >= 1
    assert isinstance(item["name"], str) and item["meta"]["size"] == (height, width)
    assert len(dataset.palette) == len(dataset.classes)
    assert len({entry.name for entry in dataset.entries}) == len(dataset)


@pytest.mark.parametrize("name", DATASETS)
def test_reading_twice_gives_the_same(name, tmp_path):
    dataset = any_dataset(name, tmp_path)
    assert torch.equal(dataset[1]["image"], dataset[1]["image"])
    assert not torch.equal(dataset[0]["target"], dataset[1]["target"]) or name != "Shapes"


# --- CamVid ---------------------------------------------------------------------------------------


def test_camvid_void_is_ignored(tmp_path):
    dataset = any_dataset("CamVid", tmp_path)
    raw = read_label(dataset.entries[0].label)
    target = dataset[0]["target"].numpy()
    assert np.array_equal(target == 255, raw == 11)
    assert np.array_equal(target[raw != 11], raw[raw != 11])


def test_camvid_list_file_and_trainval(tmp_path):
    camvid(tmp_path)
    (tmp_path / "val" / "1.png").unlink()
    (tmp_path / "valannot" / "1.png").unlink()
    pairs = "/SegNet/CamVid/train/1.png /SegNet/CamVid/trainannot/1.png\n"
    (tmp_path / "train.txt").write_text(pairs)
    spec = {"type": "CamVid", "args": {"data_dir": str(tmp_path), "split": "trainval"}}
    assert [entry.name for entry in DATASETS.build(spec).entries] == ["1", "0"]
    for text, message in ((pairs * 2, "train.txt lists 1 twice"), ("\0\xff", "cannot be read")):
        (tmp_path / "train.txt").write_bytes(text.encode("latin-1"))
        with pytest.raises(UserError, match=message):
            DATASETS.build(spec)


def test_camvid_one_folder_deeper(tmp_path):
    camvid(tmp_path / "CamVid")
    spec = {"type": "CamVid", "args": {"data_dir": str(tmp_path), "split": "trainval"}}
    assert len(DATASETS.build(spec)) == 4


def test_camvid_lists_all_that_is_missing(tmp_path):
    camvid(tmp_path, count=4)
    lines(tmp_path / "train.txt", "a/3.png", "a/1.png", "a/2.png")
    (tmp_path / "train" / "1.png").unlink()
    (tmp_path / "trainannot" / "2.png").unlink()
    spec = {"type": "CamVid", "args": {"data_dir": str(tmp_path)}}
    with noting_unpaired() as noted:
        assert [entry.name for entry in DATASETS.build(spec).entries] == ["3"]
    index = tmp_path / "train.txt"
    assert noted == [
        f"{index} lists 1, which has no image",
        f"{index} lists 2, which has no label",
    ]
    with pytest.raises(UserError, match=r"lists 1, which has no image\n  .* lists 2, which has no"):
        DATASETS.build(spec)


def test_real_camvid(real_data):
    args = {"data_dir": str(real_data / "camvid")}
    sizes = {"train": 367, "val": 101}
    for split, count in sizes.items():
        dataset = DATASETS.build({"type": "CamVid", "args": {**args, "split": split}})
        assert len(dataset) == count
    assert dataset[0]["image"].shape == (3, 360, 480)
    assert dataset[0]["target"].max() == 255


# --- Folder ---------------------------------------------------------------------------------------


def test_folder_layouts(tmp_path):
    make_folder(tmp_path / "a" / "train")
    assert len(folder(tmp_path / "a", split="train")) == 3
    for kind in ("images", "labels"):
        write_png(tmp_path / "b" / kind / "val" / "x.png", ids())
    assert [e.name for e in folder(tmp_path / "b", split="val").entries] == ["x"]


def test_folder_globs(tmp_path):
    for name in ("a", "b"):
        write_png(tmp_path / "val" / name / f"{name}_photo.png", noise())
        write_png(tmp_path / "val" / name / f"{name}_mask.png", ids())
    data = folder(
        tmp_path, split="val", images="{split}/*/*_photo.png", labels="{split}/*/*_mask.png"
    )
    assert [e.name for e in data.entries] == ["a/a", "b/b"]
    assert data.entries[0].label.name == "a_mask.png"


def test_folder_globs_over_folders(tmp_path):
    for place in ("p0", "p1"):
        write_png(tmp_path / place / "train" / "x_image.png", noise())
        write_png(tmp_path / place / "train" / "x_mask.png", ids())
    stars = {"images": "*/{split}/*_image.png", "labels": "*/{split}/*_mask.png"}
    data = folder(tmp_path, split="train", **stars)
    assert [e.name for e in data.entries] == ["p0/x", "p1/x"]
    assert data.entries[1].label == tmp_path / "p1" / "train" / "x_mask.png"


def test_folder_list(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "train.lst").write_text(
        "images/2.png labels/2.png\n\n/images/0.png /labels/0.png\n"
    )
    data = folder(tmp_path, split="train", list="{split}.lst")
    assert [e.name for e in data.entries] == ["images/2", "images/0"]
    (tmp_path / "train.lst").write_text("images/2.png labels/2.png\n/images/2.png labels/0.png\n")
    with pytest.raises(UserError, match="train.lst lists images/2 twice"):
        folder(tmp_path, split="train", list="{split}.lst")


def test_folder_list_of_names_with_spaces_and_of_whole_paths(tmp_path):
    for name in ("my image", "b"):
        write_png(tmp_path / "data" / "images" / f"{name}.png", noise())
        write_png(tmp_path / "elsewhere" / f"{name}.png", ids())
    list_file, away = tmp_path / "data" / "all.txt", tmp_path / "elsewhere"
    list_file.write_bytes(
        b"\xef\xbb\xbf"
        + f"images/my image.png\t{away}/my image.png\n".encode()
        + f"images/b.png {away}/b.png\n".encode()
    )
    data = folder(tmp_path / "data", list="all.txt")
    assert [e.name for e in data.entries] == ["images/my image", "images/b"]
    assert data.entries[0].label == away / "my image.png"
    for text, message in (
        ("", "all.txt is empty; a line for each image is expected"),
        ("images/my image.png x.png", "line 1 holds 3 paths; .* with a tab between them"),
        ("\nimages/b.png", "line 2 holds 1 path; an image and a label path"),
        ("images/b.png /gone/b.png", "no file .*/data/gone/b.png or /gone/b.png"),
    ):
        list_file.write_text(text)
        with pytest.raises(UserError, match=message):
            folder(tmp_path / "data", list="all.txt")


@pytest.mark.parametrize("orientation, told", [(6, " (its EXIF tag turns it)"), (1, "")])
def test_folder_photo_that_is_turned(tmp_path, orientation, told):
    make_folder(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = orientation
    size = (30, 20) if orientation == 6 else (20, 30)
    (tmp_path / "images" / "0.png").unlink()
    Image.new("RGB", size).save(tmp_path / "images" / "0.jpg", exif=exif)
    write_png(tmp_path / "labels" / "0.png", np.zeros((20, 30), np.uint8))
    with pytest.raises(UserError, match=re.escape(f"0.jpg is 20x30{told}, its label")):
        folder(tmp_path)[0]


def test_folder_palette_png_keeps_its_indices(tmp_path):
    palette = [[9, 9, 9], [1, 2, 3], [200, 0, 0]]
    write_png(tmp_path / "images" / "0.png", noise())
    write_png(tmp_path / "labels" / "0.png", ids(), palette)
    assert np.array_equal(folder(tmp_path)[0]["target"].numpy(), ids())


def test_folder_colours(tmp_path):
    table = np.array([[0, 0, 0], [0, 255, 0], [255, 0, 128], [9, 9, 9]], np.uint8)
    make_folder(tmp_path, label=lambda: table[ids(classes=4)])
    colors = {name: table[i].tolist() for i, name in enumerate(CLASSES)} | {"ignore": [9, 9, 9]}
    target = folder(tmp_path, colors=colors)[0]["target"].numpy()
    assert np.array_equal(target, np.where(ids(classes=4) == 3, 255, ids(classes=4)))


def test_folder_sixteen_bit_colours_are_refused(tmp_path):
    """[0, 256, 0] would be taken for [1, 0, 0]."""
    make_folder(tmp_path)
    colors = {name: [i, 0, 0] for i, name in enumerate(CLASSES)}
    for path in (tmp_path / "labels").iterdir():
        cv2.imwrite(str(path), np.full((12, 16, 3), (0, 256, 0), np.uint16))
    with pytest.raises(UserError, match="holds uint16 colours; labels in colour have 8 bits"):
        folder(tmp_path, colors=colors)[0]


def test_folder_remap_of_masks(tmp_path):
    make_folder(tmp_path, label=lambda: ids(classes=2) * 255)
    data = folder(tmp_path, classes=["no", "yes"], remap={"255": 1})
    assert np.array_equal(data[0]["target"].numpy(), ids(classes=2))
    ignored = folder(tmp_path, classes=["no", "yes"], remap={"0": "ignore", "255": 0})
    assert set(ignored[0]["target"].unique().tolist()) == {0, 255}


def test_sixteen_bits_and_channels(tmp_path):
    deep = noise(channels=1, dtype=np.uint16)
    path = tmp_path / "images" / "0.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), deep)
    write_png(tmp_path / "labels" / "0.png", ids())
    data = folder(tmp_path, channels=1)
    data.prepare(None, make_normalization(data, [[0.5], [0.5]]))
    expected = (deep / 65535 - 0.5) / 0.5
    np.testing.assert_allclose(data[0]["image"][0].numpy(), expected, atol=1e-4)


def test_many_channels(tmp_path):
    stack = noise(channels=6)
    cv2.imwritemulti(str(tmp_path / "six.tiff"), [stack[:, :, i].copy() for i in range(6)])
    assert np.array_equal(read_image(tmp_path / "six.tiff", 6), stack)
    Image.fromarray(stack[:, :, :4], "RGBA").save(tmp_path / "four.png")
    assert np.array_equal(read_image(tmp_path / "four.png", 4), stack[:, :, :4])
    Image.fromarray(stack[:, :, 0]).save(tmp_path / "one.png")
    for name, held in (("four", "4 channels"), ("one", "1 channel")):
        with pytest.raises(UserError, match=f"holds {held}; the config asks for 6"):
            read_image(tmp_path / f"{name}.png", 6)


def test_read_image_as_rgb(tmp_path):
    rgba = noise(channels=4)
    Image.fromarray(rgba, "RGBA").save(tmp_path / "rgba.png")
    assert np.array_equal(read_image(tmp_path / "rgba.png"), rgba[:, :, :3])
    write_png(tmp_path / "grey.png", ids())
    assert np.array_equal(read_image(tmp_path / "grey.png"), np.repeat(ids()[:, :, None], 3, 2))


# --- Shapes ---------------------------------------------------------------------------------------


def test_shapes_follow_from_the_split_and_index():
    long = DATASETS.build({"type": "Shapes", "args": {"length": 9}})
    short = DATASETS.build({"type": "Shapes", "args": {"length": 2}})
    val = DATASETS.build({"type": "Shapes", "args": {"split": "val", "length": 2}})
    assert torch.equal(long[1]["image"], short[1]["image"])
    assert not torch.equal(val[1]["image"], short[1]["image"])


def test_shapes_with_both_targets_and_a_void_rim():
    data = DATASETS.build({"type": "Shapes", "args": {"length": 2, "target": "both", "void": 1}})
    target = data[0]["target"]
    assert set(target) == {"semantic", "instance"}
    assert torch.equal(target["semantic"] == 255, target["instance"] == -1)
    assert (target["semantic"] == 255).any()
    assert torch.equal(target["semantic"] == 0, target["instance"] == 0)
    for number in target["instance"].unique().tolist():
        assert len(target["semantic"][target["instance"] == number].unique()) == 1


# --- the check before training --------------------------------------------------------------------


def test_check_counts_and_remembers(tmp_path, monkeypatch):
    data = folder(make_folder(tmp_path))
    checked = check_dataset(data)
    assert checked.counts == (3 * np.bincount(ids().ravel(), minlength=3)).tolist()
    monkeypatch.setattr(Folder, "read", None)  # reading again would fail
    assert check_dataset(data) == checked
    (tmp_path / "labels" / "0.png").touch()
    with pytest.raises(TypeError):
        check_dataset(data)


# --- loaders --------------------------------------------------------------------------------------


def loader(workers=0, **args):
    section = {
        "type": "Shapes",
        "args": {
            "length": 7,
            "size": 32,
            "batch_size": 2,
            "shuffle": True,
            "augment": True,
            "flip": True,
            "rotate": True,
            "scale": False,
            "blur": True,
            "num_workers": workers,
            **args,
        },
    }
    dataset = make_dataset(section, None, training=True, seed=3)
    return make_loader(section, dataset, True, seed=3)


def test_workers_change_nothing():
    alone, many = list(loader(0)), list(loader(2))
    assert [b["name"] for b in alone] == [b["name"] for b in many]
    assert all(torch.equal(a["image"], b["image"]) for a, b in zip(alone, many, strict=True))


def test_workers_end_with_a_script():
    """At exit multiprocessing sends SIGTERM, after which a worker of ours goes on for a while."""
    script = """
import time
from base.base_dataloader import BaseDataLoader
from dataloaders import DATASETS

dataset = DATASETS.build({"type": "Shapes", "args": {"length": 4, "size": 32}})
loader = BaseDataLoader(dataset, num_workers=1)
assert len(list(loader)) == 4
print(time.time())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.time() - float(done.stdout) < GRACE


def test_epochs_differ_and_positions_resume():
    load = loader()
    first = [b["name"] for b in load]
    load.order.load({"epoch": 1, "position": 0, "batches": 4})
    second = [b["name"] for b in load]
    assert sorted(sum(first, [])) == sorted(sum(second, [])) and first != second
    load.order.load({"epoch": 1, "position": 2, "batches": 4})
    assert [b["name"] for b in load] == second[2:]


def test_sampler_counts():
    order = EpochSampler(7, 2, False, False, 0)
    assert len(order) == 4 and len(list(order)) == 4
    assert len(EpochSampler(7, 2, False, True, 0)) == 3
    for _ in range(5):
        order.advance()
    assert (order.epoch, order.position) == (1, 1)


def test_drop_last_that_leaves_nothing():
    data = DATASETS.build({"type": "Shapes", "args": {"length": 3}})
    with pytest.raises(ValueError, match="leaves no batch of 3 images"):
        BaseDataLoader(data, batch_size=4, drop_last=True)


def test_pytorch_segmentations_val_split():
    section = {"type": "Shapes", "args": {"length": 3, "val_split": 0.0}}
    data = make_dataset(section, None)
    assert len(make_loader(section, data, True)) == 3
    section["args"]["val_split"] = 0.15
    with pytest.raises(UserError, match="train_loader: val_split is 0.15; leave it out, and give"):
        make_loader(section, data, True)


def test_second_views_reach_the_batch():
    darker = {"type": "Gamma", "args": {"gamma": [2.0, 2.0]}}
    transforms = [
        {"type": "RandomCrop", "args": {"size": 24}},
        {"type": "SecondView", "args": {"transforms": [darker]}},
    ]
    section = {"type": "Shapes", "args": {"length": 4, "size": 32, "batch_size": 4}}
    dataset = make_dataset(section, None, transforms, training=True)
    batch = next(iter(make_loader(section, dataset, True)))
    assert batch["image"].shape == batch["image2"].shape == (4, 3, 24, 24)
    assert batch["image2"].dtype == torch.float32
    first, second = (dataset.normalization.undo(batch[k][0]) for k in ("image", "image2"))
    assert np.abs((first / 255) ** 2 * 255 - second).max() <= 1, "the same place, darker"


# --- normalisation --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_normalization_by_its_formula(dtype, channels):
    image = noise(channels=channels, dtype=dtype).reshape(12, 16, channels)
    mean, std = np.linspace(0.1, 0.6, channels), np.linspace(0.2, 0.3, channels)
    expected = (image / np.iinfo(dtype).max - mean) / std
    found = Normalization(tuple(mean), tuple(std))(image)
    assert found.dtype == torch.float32 and found.is_contiguous()
    np.testing.assert_allclose(found.numpy(), expected.transpose(2, 0, 1), atol=2e-6)


def test_normalization_of_a_view():
    """A crop of a larger image, which may not be written to."""
    image = noise()
    image.setflags(write=False)
    part = image[2:9, 3:11]
    assert torch.equal(Normalization()(part), Normalization()(part.copy()))


def test_normalization_and_back():
    image = noise()
    normal = Normalization()
    assert np.array_equal(normal.undo(normal(image)), image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_normalization_by_image(dtype, channels):
    image = noise(channels=channels, dtype=dtype).reshape(12, 16, channels)
    values = Normalization((), ())(image)
    assert values.mean((1, 2)).abs().max() < 1e-5
    assert (values.std((1, 2), unbiased=False) - 1).abs().max() < 1e-4
    flat = Normalization((), ())(np.full((4, 4, channels), 7, dtype))
    assert not flat.any(), "an image of one colour becomes zeros, not NaN"


def test_an_images_own_normalization_is_that_of_the_whole_image():
    """As in prediction; a crop has the same values, and what lies outside is the image's mean."""
    section = {"type": "Shapes", "args": {"length": 2, "size": 32, "normalize": "image"}}
    whole = make_dataset(section, None, [], training=True)
    wide = make_dataset(section, None, [{"type": "Warp", "args": {"crop_size": 48}}], training=True)
    image, padded = whole[0]["image"], wide[0]["image"]
    rows, columns = (padded.abs() > 0.05).any(0).nonzero().unbind(1)
    inside = padded[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert padded.shape[1:] == (48, 48) and torch.allclose(inside, image, atol=1e-2)


@pytest.mark.parametrize(
    "normalize, message",
    [
        ("dataset", "Shapes has no statistics"),
        ([[0.5], [0.5]], "1 means and 1 deviations for images of 3 channels"),
        ([[0.5, 0.5, 0.5], [0, 1, 1]], "deviations are above zero"),
        ([[0.5, 0.5, 0.5]], "is a list of 1; give \\[mean, std\\]"),
    ],
)
def test_bad_normalization(normalize, message):
    data = DATASETS.build({"type": "Shapes", "args": {"length": 1}})
    with pytest.raises(UserError, match=message):
        make_normalization(data, normalize)
