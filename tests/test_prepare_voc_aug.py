"""SBD's labels beside VOC's: which label wins, the lists, and that nothing is half-written."""

from __future__ import annotations

import shutil
import subprocess
import sys

import layouts
import numpy as np
import pytest
from scipy.io import savemat

from dataloaders import DATASETS
from tools import prepare_voc_aug
from utils.errors import UserError
from utils.image_io import read_label


@pytest.fixture
def root(tmp_path):
    """VOC without anything augmented, and SBD with one photo of train, of val, and of its own."""
    layouts.voc(tmp_path / "voc")
    folder = tmp_path / "voc" / "VOCdevkit" / "VOC2012"
    shutil.rmtree(folder / "SegmentationClassAug")
    for path in (folder / "ImageSets" / "Segmentation").glob("*_aug.txt"):
        path.unlink()
    shutil.copy(folder / "JPEGImages" / "2008_1.jpg", folder / "JPEGImages" / "2008_000002.jpg")
    (tmp_path / "sbd" / "cls").mkdir(parents=True)
    for name in ("2007_000032", "2007_000033", "2008_000002"):
        write_sbd(tmp_path, name, np.full(layouts.SIZE, 3, np.uint8))
    return tmp_path


def write_sbd(root, name, label):
    content = np.empty((1, 1), [("Segmentation", object)])
    content[0, 0]["Segmentation"] = label
    savemat(root / "sbd" / "cls" / f"{name}.mat", {"GTcls": content})


def prepare(root):
    argv = ["--data-dir", str(root / "voc"), "--sbd", str(root / "sbd")]
    prepare_voc_aug.main(prepare_voc_aug.parse(argv))


def names(root, split):
    spec = {"type": "VOC", "args": {"data_dir": str(root / "voc"), "split": split}}
    return [entry.name for entry in DATASETS.build(spec).entries]


def test_lists(root):
    prepare(root)
    assert names(root, "train_aug") == ["2007_000032", "2007_000039", "2008_000002"]
    assert names(root, "val_aug") == ["2007_000033"]
    assert names(root, "trainval_aug") == sorted(names(root, "train_aug") + names(root, "val_aug"))


def test_vocs_own_labels_win(root):
    prepare(root)
    folder = root / "voc" / "VOCdevkit" / "VOC2012"
    for name in ("2007_000032", "2007_000039", "2007_000033"):
        own, written = (
            read_label(folder / kind / f"{name}.png")
            for kind in ("SegmentationClass", "SegmentationClassAug")
        )
        assert np.array_equal(own, written)
    assert (read_label(folder / "SegmentationClassAug" / "2008_000002.png") == 3).all()


def refuse(root, *parts):
    before = sorted(root.rglob("*"))
    with pytest.raises(UserError) as error:
        prepare(root)
    assert all(str(part) in str(error.value) for part in parts), error.value
    assert sorted(root.rglob("*")) == before


def test_nothing_is_half_written(root):
    voc, cls = root / "voc" / "VOCdevkit" / "VOC2012", root / "sbd" / "cls"
    (cls / "2008_000009.mat").write_bytes(b"")
    refuse(root, "2008_000009.mat has no photo in", voc / "JPEGImages")
    (cls / "2008_000009.mat").unlink()
    (cls / "2008_000002.mat").write_bytes(b"no mat file")
    refuse(root, cls / "2008_000002.mat", "is not a .mat file")
    savemat(cls / "2008_000002.mat", {"GTinst": 1})
    refuse(root, cls / "2008_000002.mat", "holds no GTcls.Segmentation")
    (voc / "SegmentationClass" / "2007_000039.png").unlink()
    (cls / "2008_000002.mat").unlink()
    refuse(root, "2007_000039 is listed and has no label")
    for path in cls.iterdir():
        path.unlink()
    refuse(root, cls, "holds no .mat file")
    shutil.rmtree(root / "sbd")
    refuse(root, "--sbd: there is no folder", root / "sbd")


@pytest.mark.parametrize(
    "label, says",
    [
        (np.full(layouts.SIZE, 300, np.uint16), "holds the label 300; the classes are 0 to 20"),
        (np.full(layouts.SIZE, 21, np.uint8), "holds the label 21"),
        (np.full(layouts.SIZE, 2.5), "holds the label 2.5; labels are whole numbers"),
        (np.zeros((5, 7), np.uint8), "2008_000002.mat is 7x5, its photo"),
        (np.zeros((*layouts.SIZE, 3), np.uint8), "numbers of shape (12, 16, 3)"),
    ],
)
def test_labels_that_are_none_of_the_photo(label, says, root):
    write_sbd(root, "2008_000002", label)
    refuse(root, root / "sbd" / "cls" / "2008_000002.mat", says)


def test_a_file_that_is_cut(root):
    path = root / "sbd" / "cls" / "2008_000002.mat"
    path.write_bytes(path.read_bytes()[:200])
    refuse(root, path, "is not a .mat file that can be read")


def test_what_is_there_is_not_overwritten(root):
    prepare(root)
    refuse(root, "SegmentationClassAug is there already")


def test_as_a_command(root):
    argv = ["--data-dir", root / "voc", "--sbd", root / "sbd"]
    command = [sys.executable, "tools/prepare_voc_aug.py", *argv]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "3 images for training, 1 for validation" in done.stdout
