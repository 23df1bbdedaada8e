"""tools/check_data.py: every kind of fault, planted in a small data set of one's own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import layouts
import numpy as np
import pytest

import train
from dataloaders import DATASETS, make_dataset
from dataloaders.check import check_dataset
from dataloaders.survey.faults import doubts, duplicates, faults
from dataloaders.survey.hints import hints
from dataloaders.survey.look import survey
from dataloaders.survey.pictures import STRAY, draw
from tests.instance_layouts import blocks, make_folder
from tools import check_data
from utils.command import run
from utils.image_io import read_label, write_png
from utils.report.data_report import said

ROOT = Path(__file__).parent.parent
CLASSES = ["soil", "leaf", "weed"]
PALETTE = [[0, 0, 0], [20, 200, 40], [220, 90, 30]]


def image(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def labels(*values: int) -> np.ndarray:
    """(24, 32): a band of equal height for each value."""
    return np.repeat(np.array(values, np.uint8), 24 // len(values))[:, None].repeat(32, axis=1)


def write_split(root: Path, split: str, count: int, seed: int = 0) -> Path:
    for number in range(count):
        write_png(root / split / "images" / f"{number}.png", image(seed + number))
        write_png(root / split / "labels" / f"{number}.png", labels(0, 1, 2))
    return root / split


def section(root: Path, split: str, **args) -> dict:
    args = {"data_dir": str(root), "classes": CLASSES, "palette": PALETTE, "split": split, **args}
    return {"type": "Folder", "args": args}


def build(root: Path, split: str = "train", **args):
    return DATASETS.build(section(root, split, **args))


@pytest.fixture
def root(tmp_path) -> Path:
    """Two sound splits of six and three images."""
    write_split(tmp_path / "data", "train", 6)
    write_split(tmp_path / "data", "val", 3, seed=100)
    return tmp_path / "data"


@pytest.fixture
def check(tmp_path, tiny, capfd):
    """Runs the command on loader sections; gives exit code, report and what was printed."""

    def call(*words: str, **loaders: dict) -> tuple[int, dict, str]:
        config = {**tiny, **{f"{name}_loader": part for name, part in loaders.items()}}
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config))
        capfd.readouterr()
        argv = ["-c", str(path), "-o", str(tmp_path / "out"), *words]
        code = run(lambda: check_data.main(check_data.parse(argv)))
        report = tmp_path / "out" / "report.json"
        content = json.loads(report.read_text()) if report.is_file() else {}
        return code, content, "".join(capfd.readouterr())

    return call


def texts(report: dict, loader: str = "train", kind: str | None = None) -> list[str]:
    found = report["loaders"][loader]["problems"]
    return [fault["text"] for fault in found if kind in (None, fault["kind"])]


def hint_of(root: Path, **args):
    """The one hint for a data set."""
    data = build(root, **args)
    (hint,) = hints(data, survey(data))
    return hint


# --- a sound data set -----------------------------------------------------------------------------


def test_numbers_of_a_sound_data_set(root, check, tmp_path):
    write_png(root / "train" / "labels" / "0.png", labels(0, 0, 255))
    code, report, said = check(train=section(root, "train"), val=section(root, "val"))
    assert code == 0 and report["problems"] == 0, said
    assert "train_loader: 6 images, no problems" in said
    train = report["loaders"]["train"]
    assert train["sizes"] == {"32x24": 6}
    assert train["ignored"] == pytest.approx(1 / 18)
    band = 8 * 32
    assert [c["pixels"] for c in train["classes"]] == [7 * band, 5 * band, 5 * band]
    assert [c["images"] for c in train["classes"]] == [6, 5, 5]
    assert [c["share"] for c in train["classes"]] == pytest.approx([7 / 17, 5 / 17, 5 / 17])
    assert train["class_weights"]["inverse"] == pytest.approx([17 / 21, 17 / 15, 17 / 15], rel=1e-3)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('class="exhibit"') == 9 and 'src="http' not in page
    for name, rows in (("train", 3), ("val", 2)):  # two samples beside each other
        sheet = cv2.imread(str(tmp_path / "out" / f"{name}.png"))
        assert sheet.shape == (24 + rows * (180 + 26), 2 * (3 * 246 + 6), 3)


@pytest.mark.parametrize("args", [{"augment": True}, {"cache": "disk", "normalize": "image"}])
@pytest.mark.parametrize("repeated", [False, True])
def test_train_need_not_look_again(root, args, repeated, check, monkeypatch):
    """Neither augmentation nor what comes after it changes the labels that are read."""
    part = section(root, "train")
    if repeated:
        part = {"type": "Repeat", "args": {"dataset": part, "times": 2}}
    part["args"] |= args
    check("--split", "train", train=part)
    monkeypatch.setattr("dataloaders.check.survey", None)
    trained = make_dataset(part, None, training=True, seed=7)
    assert check_dataset(trained).counts == [(1 + repeated) * 6 * 256] * 3


def test_only_the_loaders_asked_for(root, check):
    _, report, _ = check("--split", "val", train=section(root, "gone"), val=section(root, "val"))
    assert list(report["loaders"]) == ["val"]
    code, _, said = check("--split", "test", train=section(root, "train"))
    assert code == 2 and "has no test_loader" in said


def test_two_classes_of_which_one_does_not_occur(tmp_path, caplog):
    """0 is the rest and 255 what Cityscapes ignores; nobody could remap it."""
    layouts.cityscapes(tmp_path)
    for path in tmp_path.glob("gtFine/train/*/*_labelIds.png"):
        write_png(path, layouts.ids([0, 7]))  # unlabeled and road
    args = {"data_dir": str(tmp_path), "classes": ["train"]}
    data = DATASETS.build({"type": "Cityscapes", "args": args})
    assert {*np.unique(data[0]["target"])} == {0, 255}
    assert check_dataset(data).counts[1] == 0
    assert "no pixel of train" in caplog.text


def test_ignored_colours_are_no_mask(root):
    """The 255 of these labels comes from the name "ignore", not from the files."""
    rewrite(root, lambda ids: ((ids > 0) * np.uint8(9))[:, :, None].repeat(3, axis=2))
    colors = {"soil": [0, 0, 0], "leaf": [1, 1, 1], "ignore": [9, 9, 9]}
    check_dataset(build(root, classes=CLASSES[:2], palette=PALETTE[:2], colors=colors))


def test_label_files_that_are_jpeg_get_no_remap(root):
    """It would throw away the pixels whose values were smeared."""
    rewrite(root, lambda ids: ids)
    for path in sorted((root / "train" / "labels").iterdir()):
        ids = read_label(path) * np.uint8(7)
        assert cv2.imwrite(str(path.with_suffix(".JPG")), cv2.GaussianBlur(ids, (5, 5), 0))
        path.unlink()
    hint = hint_of(root)
    assert hint.args == {} and re.match("label files such as .*/0.JPG are JPEG", hint.text)


def test_masks_of_all_parts(root):
    rewrite(root, lambda ids: (ids > 0) * np.uint8(255))
    part = section(root, "train", classes=CLASSES[:2], palette=PALETTE[:2])
    data = DATASETS.build({"type": "Concat", "args": {"datasets": [part, part]}})
    assert [fault.kind for fault in faults(data, survey(data))] == ["value"]


# --- every kind of fault --------------------------------------------------------------------------


def test_all_faults_are_listed_at_once(root, check, tmp_path):
    train = root / "train"
    write_png(train / "images" / "spare.png", image(50))
    write_png(train / "labels" / "left.png", labels(0))
    cut = train / "images" / "0.png"
    cut.write_bytes(cut.read_bytes()[:200])
    (train / "labels" / "1.png").write_bytes(b"")
    write_png(train / "labels" / "2.png", labels(0, 1)[:12, :16])
    write_png(train / "labels" / "3.png", labels(0, 7, 9))
    write_png(train / "labels" / "4.png", np.array(PALETTE, np.uint8)[labels(0, 1, 2)])
    cv2.imwrite(str(root / "val" / "images" / "0.bmp"), cv2.imread(str(train / "images" / "5.png")))
    (root / "val" / "images" / "0.png").unlink()
    code, report, said = check(train=section(root, "train"), val=section(root, "val"))
    assert code == 2 and report["problems"] == 8
    assert re.search("^error: 8 problems in the data of .*report.html", said, re.MULTILINE)
    place = re.escape(str(train))
    wanted = {
        "unpaired": [
            f"{place}/images/spare.png has no label",
            f"{place}/labels/left.png has no im",
        ],
        "file": [
            f"{place}/images/0.png is truncated",
            f"{place}/labels/1.png is empty",
            f"{place}/images/2.png is 32x24, its label {place}/labels/2.png 16x12",
            f"{place}/labels/4.png holds colours, not class ids",
        ],
        "value": [
            rf"{place}/labels/3.png: label values 7 \(256 pixels\), 9 \(256 pixels\) are none of "
            r"the 3 classes, 0 to 2, nor ignored \(255\)",
        ],
    }
    for kind, patterns in wanted.items():
        found = texts(report, kind=kind)
        assert len(found) == len(patterns)
        assert all(re.match(p, text) for p, text in zip(patterns, found, strict=True)), found
    (same,) = texts(report, "val", "duplicate")
    assert same == (
        f"{root}/val/images/0.bmp shows the same picture as {train}/images/5.png of train; keep it "
        "in one of train and val"
    )
    assert all(text in said for text in texts(report) + [same])
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(text.split(";")[0] in page for text in texts(report, kind="value"))


def test_a_file_with_many_stray_values_is_one_problem(root, check):
    """As 16 bit depth in place of labels; the most common values are named."""
    stray = np.arange(768, dtype=np.uint16).reshape(24, 32)
    stray[0], stray[1] = 0, 9000
    write_png(root / "train" / "labels" / "1.png", stray)
    _, report, _ = check("--split", "train", train=section(root, "train"))
    assert texts(report) == [
        f"{root}/train/labels/1.png: label values 9000 (32 pixels), 64 (1 pixel), 65 (1 pixel) and "
        "701 more are none of the 3 classes, 0 to 2, nor ignored (255)"
    ]


def test_a_page_lists_a_thousand_problems():
    page = said([["problem"], *([f"file {number}"] for number in range(1234))])
    assert "file 999<" in page and "file 1000<" not in page and "and 234 more in rep" in page
    assert "more" not in said([["problem"], ["file"]])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"augment": True, "crop_size": -3}, "crop_size"),
        ({"num_workers": -1}, "num_workers -1; at least"),
        ({"drop_last": True, "batch_size": 7}, "batch"),
    ],
)
def test_arguments_that_training_would_refuse(root, args, says, check):
    """And the files are looked at all the same."""
    write_png(root / "train" / "labels" / "1.png", labels(7))
    code, report, _ = check("--split", "train", train=section(root, "train", **args))
    ours, files = texts(report)
    assert code == 2 and says in ours and "label value 7" in files


def test_a_loader_that_cannot_be_built_does_not_hide_the_others(root, check):
    code, report, said = check(train=section(root, "gone"), val=section(root, "val"))
    assert code == 2 and report["problems"] == 1
    (text,) = texts(report, kind="data set")
    assert "there is no folder" in text and "val_loader: 3 images, no problems" in said


def test_unpaired_files_alone_leave_nothing_to_read(tmp_path, check):
    write_png(tmp_path / "data" / "train" / "images" / "a.png", image(0))
    (tmp_path / "data" / "train" / "labels").mkdir()
    _, report, _ = check("--split", "train", train=section(tmp_path / "data", "train"))
    assert [fault["kind"] for fault in report["loaders"]["train"]["problems"]] == [
        "data set",
        "unpaired",
    ]


def test_a_split_without_labels_is_one_sentence(tmp_path):
    names = tmp_path / "VOC2012" / "ImageSets" / "Segmentation" / "test.txt"
    names.parent.mkdir(parents=True)
    names.write_text("a\nb\n")
    for name in "ab":
        write_png(tmp_path / "VOC2012" / "JPEGImages" / f"{name}.jpg", image(0))
    data = DATASETS.build({"type": "VOC", "args": {"data_dir": str(tmp_path), "split": "test"}})
    (fault,) = faults(data, survey(data))
    assert re.fullmatch(
        "none of the 2 images, such as .*a.jpg, has a label: they can be neither trained on nor "
        "scored; inference.py predicts them",
        fault.text,
    )


def test_duplicates_know_pixels_not_files(root):
    """The same pixels in a file of another format count; another image of one name does not."""
    looks = {split: survey(build(root, split)) for split in ("train", "val")}
    assert duplicates(looks) == {"train": [], "val": []}
    shutil.copy(root / "train/images/1.png", root / "val/images/2.png")
    looks["val"] = survey(build(root, "val"))
    assert [fault.sample for fault in duplicates(looks)["val"]] == ["2"]
    (text,) = {
        fault.text for fault in duplicates({"a": looks["val"][:1], "b": looks["val"][:1]})["b"]
    }
    assert text.endswith("0.png is in a too; keep it in one of a and b")


# --- notes, which are no faults -------------------------------------------------------------------


def test_notes(root, check):
    train = root / "train"
    shutil.copy(train / "images" / "1.png", train / "images" / "2.png")
    for number in range(6):
        write_png(train / "labels" / f"{number}.png", labels(0, 1))
    write_png(train / "labels" / "4.png", labels(255))
    code, report, said = check(train=section(root, "train"), val=section(root, "val"))
    assert code == 0
    assert report["loaders"]["train"]["doubts"] == [
        "no pixel of weed",
        f"1 label file is ignored in every pixel, such as {train}/labels/4.png",
        f"{train}/images/1.png and {train}/images/2.png show the same picture",
    ]
    assert "note: no pixel of weed" in said


def test_no_note_of_classes_that_no_image_holds(tmp_path, caplog):
    """COCO-Stuff keeps the places of 11; of the others a few are named."""
    layouts.coco_stuff(tmp_path)
    data = DATASETS.build({"type": "COCOStuff", "args": {"data_dir": str(tmp_path)}})
    assert doubts(data, survey(data)) == []
    for path in tmp_path.rglob("annotations/train2017/*.png"):
        write_png(path, layouts.ids([0, 255]))
    (note,) = doubts(data, survey(data))
    assert note.startswith("no pixel of bicycle, car") and note.endswith(
        ", fire hydrant and 160 more"
    )


def test_no_note_where_nothing_was_read(root):
    for path in (root / "train" / "images").iterdir():
        path.write_bytes(b"")
    data = build(root)
    assert doubts(data, survey(data)) == []


def test_a_repeated_file_is_not_a_duplicate(root, check):
    part = {"type": "Repeat", "args": {"dataset": section(root, "train"), "times": 2}}
    code, report, _ = check(train=part, val=section(root, "val"))
    assert code == 0 and report["loaders"]["train"]["doubts"] == []
    assert report["loaders"]["train"]["images"] == 12


# --- hints: the lines of JSON that mend it --------------------------------------------------------


def rewrite(root: Path, change) -> None:
    for path in (root / "train" / "labels").iterdir():
        write_png(path, change(read_label(path)))


@pytest.mark.parametrize("ignore", [255, 200])
def test_masks_of_0_and_255(root, ignore):
    rewrite(root, lambda ids: (ids > 0) * np.uint8(255))
    two = {"classes": ["soil", "leaf"], "palette": PALETTE[:2], "ignore_index": ignore}
    hint = hint_of(root, **two)
    assert hint.args == {"remap": {"255": 1}}
    data = build(root, **two, **hint.args)
    assert faults(data, survey(data)) == []


@pytest.mark.parametrize(
    ("change", "args"),
    [
        (lambda ids: ids + 1, {"remap": {"1": 0, "2": 1, "3": 2}}),
        (lambda ids: np.where(ids == 2, 77, ids).astype(np.uint8), {"remap": {"77": "ignore"}}),
        (
            lambda ids: np.array(PALETTE, np.uint8)[ids],
            {"colors": dict(zip(CLASSES, PALETTE, strict=True))},
        ),
        (
            lambda ids: ids[:, :, None].repeat(3, axis=2),
            {"colors": {"soil": [0, 0, 0], "leaf": [1, 1, 1], "weed": [2, 2, 2]}},
        ),
    ],
    ids=["from 1", "void", "palette", "grey"],
)
def test_the_hint_mends_it(root, change, args):
    rewrite(root, change)
    data = build(root)
    assert faults(data, survey(data))
    assert hint_of(root).args == args
    data = build(root, **args)
    assert faults(data, survey(data)) == []


def test_black_and_white_masks_in_colour(root):
    rewrite(root, lambda ids: ((ids > 0) * np.uint8(255))[:, :, None].repeat(3, axis=2))
    hint = hint_of(root, classes=["soil", "leaf"], palette=PALETTE[:2])
    assert hint.args == {"colors": {"soil": [0, 0, 0], "leaf": [255, 255, 255]}}


def test_unknown_colours_get_names_that_cannot_be_left(root):
    colours = np.array([[9, 9, 9], [8, 0, 0], [7, 70, 0]], np.uint8)
    rewrite(root, lambda ids: colours[ids])
    hint = hint_of(root)
    assert sorted(hint.args["colors"].values()) == sorted(colours.tolist())
    with pytest.raises(Exception, match="'name_1', which is not in classes"):
        build(root, **hint.args)


def test_a_colour_that_is_not_listed(root):
    colours = np.array([*PALETTE[:2], [224, 224, 192]], np.uint8)
    rewrite(root, lambda ids: colours[ids])
    given = dict(zip(CLASSES, PALETTE, strict=True))
    hint = hint_of(root, colors=given)
    assert hint.args == {"colors": {**given, "ignore": [224, 224, 192]}}


def test_hints_without_arguments(root):
    write_png(root / "train/labels/0.png", np.array(PALETTE, np.uint8)[labels(0, 1, 2)])
    assert hint_of(root).text == "some label files hold colours and others ids; make them alike"
    rewrite(root, lambda _: image(1))
    assert re.match(r"label files hold \d+ colours: they were compressed", hint_of(root).text)
    rewrite(root, lambda _: np.arange(768).reshape(24, 32).astype(np.uint16))
    assert re.match("764 values are no class: if they are ids of objects", hint_of(root).text)


def test_training_is_told_the_lines_too(root):
    rewrite(root, lambda ids: ids + 1)
    with pytest.raises(Exception, match='(?s)6 problems.*args of the loader: "remap": {"1": 0'):
        check_dataset(build(root))


# --- objects --------------------------------------------------------------------------------------


def test_objects_are_counted_and_measured(tmp_path, check):
    make_folder(tmp_path / "cells", count=2)
    write_png(tmp_path / "cells" / "labels" / "1.png", np.zeros((40, 48), np.uint8))
    part = {"type": "FolderInstances", "args": {"data_dir": str(tmp_path / "cells")}}
    code, report, _ = check("--split", "train", train=part)
    found = report["loaders"]["train"]["objects"]
    assert code == 0 and found["count"] == 6 and found["images_without"] == 1
    assert found["per_image"] == {"least": 0, "5 %": 0.3, "50 %": 3, "95 %": 5.7, "most": 6}
    assert found["area"]["50 %"] == 32 * 6


def test_class_ids_where_objects_are_expected(tmp_path, check):
    make_folder(tmp_path / "cells", (blocks() > 0).astype(np.uint8))
    part = {"type": "FolderInstances", "args": {"data_dir": str(tmp_path / "cells")}}
    code, report, said = check("--split", "train", train=part)
    assert code == 0 and "note: an id lies in 6 separate pieces" in said


@pytest.mark.parametrize("colour", [False, True])
def test_masks_where_objects_are_expected(tmp_path, colour, check):
    mask = (blocks(1) > 0) * np.uint8(255)
    make_folder(tmp_path / "cells", np.dstack([mask] * 3) if colour else mask)
    part = {"type": "FolderInstances", "args": {"data_dir": str(tmp_path / "cells")}}
    code, report, said = check("--split", "train", train=part)
    assert code == 0 and "note: the labels are masks, white where an object is" in said


def test_no_object_at_all(tmp_path, check):
    make_folder(tmp_path / "cells", np.zeros((40, 48), np.uint8))
    part = {"type": "FolderInstances", "args": {"data_dir": str(tmp_path / "cells")}}
    code, report, said = check("--split", "train", train=part)
    assert code == 0 and "note: no object in any label file\n" in said
    part["args"]["instance_ratio"] = 0.01
    message = "note: no object in any label file, of which instance_ratio 0.01 keeps none: raise it"
    assert message in check("--split", "train", train=part)[2]
    del part["args"]["instance_ratio"]
    part["args"]["labels"] = None  # as Spoco may train without any
    assert "note: no object" not in check("--split", "train", train=part)[2]


# --- names that are no UTF-8 ----------------------------------------------------------------------


def test_names_that_are_no_utf8(root, check, tmp_path, tiny):
    """As an old disk or archive holds them; told, drawn, remembered and trained on."""
    name = os.fsdecode(b"caf\xe9.png")
    for kind in ("images", "labels"):
        for split in ("train", "val"):
            (root / split / kind / "0.png").rename(root / split / kind / name)
    bad = root / "train" / "labels" / name
    write_png(bad, labels(0, 7))
    code, report, said = check(train=section(root, "train"), val=section(root, "val"))
    assert code == 2 and "caf\\udce9.png: label value 7" in said
    assert texts(report) == [t for t in texts(report) if f"{bad}: label value 7" in t]
    assert "caf\\udce9.png" in (tmp_path / "out" / "report.html").read_text()
    write_png(bad, labels(0, 1, 2))
    tiny["n_gpu"] = 0
    tiny["trainer"]["epochs"] = 1
    loaders = {split: section(root, split, batch_size=2) for split in ("train", "val")}
    assert check(train=loaders["train"], val=loaders["val"])[0] == 0
    train.main(train.parse(["-c", str(tmp_path / "config.json"), "-d", "cpu"]))


def test_a_share_of_objects_under_a_name_that_is_no_utf8(tmp_path, check):
    make_folder(tmp_path / "cells", count=1)
    for kind in ("images", "labels"):
        path = tmp_path / "cells" / kind / "0.png"
        path.rename(path.with_name(os.fsdecode(b"\xe9.png")))
    args = {"data_dir": str(tmp_path / "cells"), "instance_ratio": 0.5}
    code, report, _ = check("--split", "train", train={"type": "FolderInstances", "args": args})
    assert code == 0 and report["loaders"]["train"]["objects"]["count"] == 3


# --- pictures -------------------------------------------------------------------------------------


def test_what_is_no_class_is_magenta(root):
    write_png(root / "train/labels/0.png", labels(0, 7, 255))
    data = build(root)
    _, classes, overlay = draw(data, data.entries[0])
    assert classes[0, 0].tolist() == PALETTE[0]
    assert classes[12, 0].tolist() == list(STRAY)
    assert classes[-1, 0].tolist() == [255, 255, 255]
    shown = image(0)
    assert np.array_equal(overlay[:8], shown[:8])  # black covers nothing
    assert abs(int(overlay[12, 0, 0]) - (int(shown[12, 0, 0]) + 255) / 2) <= 1


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_any_image_can_be_drawn(tmp_path, channels, depth, check):
    for kind in ("images", "labels"):
        (tmp_path / "data" / "train" / kind).mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 200, (24, 32, channels)).astype(depth)
    cv2.imwrite(str(tmp_path / "data/train/images/a.png"), pixels)
    write_png(tmp_path / "data/train/labels/a.png", labels(0, 1, 2))
    part = section(tmp_path / "data", "train", channels=channels, normalize="image")
    assert check("--split", "train", train=part)[0] == 0


# --- as a command, and on real samples ------------------------------------------------------------


def test_as_a_command(root, tmp_path, tiny):
    (root / "train" / "labels" / "1.png").write_bytes(b"")
    config = {**tiny, "train_loader": section(root, "train"), "val_loader": section(root, "val")}
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = ["tools/check_data.py", "-c", tmp_path / "config.json", "-o", tmp_path / "out"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: 1 problem in the data of")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *("report.html", "report.json", "train.png", "val.png")
    }


@pytest.mark.parametrize(
    ("name", "folder", "args"),
    [
        ("CVPPP", "cvppp", {"target": "both"}),
        ("Cityscapes", "cityscapes_mini", {}),
        ("COCOStuff", "cocostuff_mini", {}),
    ],
)
def test_real_samples_have_no_problem(name, folder, args, real_data, check):
    part = {"type": name, "args": {"data_dir": str(real_data / folder), "split": "val", **args}}
    code, report, said = check("--split", "val", val=part)
    assert code == 0 and report["loaders"]["val"]["images"] > 0, said


def test_the_kitti_sample_misses_labels(real_data, check):
    """It has labels of two of its eleven images."""
    part = {"type": "KITTIRoad", "args": {"data_dir": str(real_data / "kitti_road")}}
    code, report, _ = check("--split", "train", train=part)
    assert code == 2 and len(texts(report, kind="unpaired")) == report["problems"] == 9
