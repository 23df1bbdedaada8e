"""Data sets of objects: layouts, ids from every kind of label file, a share of the objects."""

from __future__ import annotations

import json
import pickle
import shutil

import cv2
import numpy as np
import pytest
import torch

from dataloaders import DATASETS, TRANSFORMS, make_dataset
from dataloaders.check import cache_file, check_dataset
from dataloaders.files import noting_unpaired
from dataloaders.instance_labels import keep_share, read_ids
from dataloaders.lane_labels import draw_lanes, lane_frame, read_lane_file
from tests.instance_layouts import (
    HEIGHTS,
    blocks,
    lane_line,
    make_cvppp,
    make_dsb,
    make_folder,
    make_tusimple,
    picture,
    write_plant,
)
from utils.errors import UserError
from utils.image_io import write_png


def build(name, root=None, **args):
    place = {} if root is None else {"data_dir": str(root)}
    return DATASETS.build({"type": name, "args": {**place, **args}})


def instance(dataset, index=0) -> np.ndarray:
    return dataset.read(dataset.entries[index]).maps["instance"]


def numbers(ids) -> list[int]:
    return np.unique(ids).tolist()


# --- label files ----------------------------------------------------------------------------------


def test_colours_are_one_number_each(tmp_path):
    """255 * 65536 + 128 * 256 + 1 does not fit the 8 bits that the channels have."""
    label = np.zeros((2, 3, 3), np.uint8)
    label[0, 0], label[1, 2] = (255, 128, 1), (0, 1, 0)
    write_png(tmp_path / "a.png", label)
    ids = read_ids(tmp_path / "a.png")
    assert ids.dtype == np.int32
    assert ids.tolist() == [[255 * 65536 + 128 * 256 + 1, 0, 0], [0, 0, 256]]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bit_labels(tmp_path, ending):
    label = np.array([[0, 300], [65535, 1]], np.uint16)
    cv2.imwrite(str(tmp_path / f"a.{ending}"), label)
    assert read_ids(tmp_path / f"a.{ending}").tolist() == label.tolist()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, bool])
def test_arrays(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.eye(3, dtype=dtype))
    assert read_ids(tmp_path / "a.npy").tolist() == np.eye(3).tolist()


def test_minus_one_in_an_array_is_ignored(tmp_path):
    ids = blocks().astype(np.int32)
    ids[:4] = -1
    make_folder(tmp_path, count=1)
    (tmp_path / "labels" / "0.png").unlink()
    np.save(tmp_path / "labels" / "0.npy", ids)
    data = build("FolderInstances", tmp_path, target="both")
    maps = data.read(data.entries[0]).maps
    assert np.array_equal(maps["instance"], ids)
    assert np.array_equal(maps["semantic"] == 255, ids == -1)
    assert np.array_equal(maps["semantic"] == 1, ids > 0)


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((2, 2), np.float32), "holds float32 values of shape \\(2, 2\\)"),
        (np.zeros((2, 2, 4), np.uint8), "shape \\(2, 2, 4\\); a label map is an array"),
        (np.full((2, 2), -7), "values from -7 to -7; instance ids go from 1 to 2147483647"),
        (np.full((2, 2), 2**31), "values from 2147483648 to 2147483648"),
    ],
)
def test_arrays_that_are_no_ids(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=message):
        read_ids(tmp_path / "a.npy")


def test_a_file_that_is_no_array(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="a.npy is not a NumPy array that can be read"):
        read_ids(tmp_path / "a.npy")


def test_sixteen_bit_colours_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.ones((2, 2, 3), np.uint16))
    with pytest.raises(UserError, match="a.png holds uint16 colours"):
        read_ids(tmp_path / "a.png")


# --- a share of the objects -----------------------------------------------------------------------


def test_the_share_is_rounded_and_nested():
    ids = blocks(6).astype(np.int32)
    kept = {ratio: set(numbers(keep_share(ids, ratio, 3, "a"))) - {0} for ratio in (0.05, 0.4, 0.6)}
    assert [len(objects) for objects in kept.values()] == [0, 2, 4]
    assert kept[0.05] < kept[0.4] < kept[0.6]
    assert np.array_equal(keep_share(ids, 1.0, 3, "a"), ids)


def test_kept_objects_stay_as_they_are():
    ids = blocks(6).astype(np.int32) * 70000
    ids[0] = -1
    kept = keep_share(ids, 0.5, 0, "a")
    changed = kept != ids
    assert (kept[changed] == 0).all() and (kept[0] == -1).all()
    assert len(numbers(kept)) == 3 + 2


def test_the_choice_follows_from_seed_and_name_alone():
    ids = blocks(6).astype(np.int32)
    choices = {
        (seed, name): tuple(numbers(keep_share(ids, 0.5, seed, name)))
        for seed in range(4)
        for name in ("a", "b", "c")
    }
    assert len(set(choices.values())) > 6
    assert choices[2, "b"] == tuple(numbers(keep_share(ids, 0.5, 2, "b")))


def test_the_choice_does_not_depend_on_which_images_there_are(tmp_path):
    make_cvppp(tmp_path / "many", count=3)
    write_plant(tmp_path / "one" / "train" / "A1", "plant002")
    many, one = (
        build("CVPPP", tmp_path / name, instance_ratio=0.5, sample_seed=9)
        for name in ("many", "one")
    )
    assert np.array_equal(instance(many, 2), instance(one))


@pytest.mark.parametrize("name", ["CVPPP", "DSB2018", "FolderInstances", "ShapesInstances"])
@pytest.mark.parametrize("ratio", [0, -0.1, 1.01])
def test_ratios_out_of_range(name, ratio, tmp_path):
    root = None if name == "ShapesInstances" else tmp_path
    with pytest.raises(UserError, match=f"instance_ratio is {ratio}; give the share"):
        build(name, root, instance_ratio=ratio)


def test_a_negative_sample_seed():
    with pytest.raises(UserError, match="sample_seed is -1; give a whole number"):
        build("ShapesInstances", sample_seed=-1)


def test_the_semantic_map_shows_every_object(tmp_path):
    data = build("CVPPP", make_cvppp(tmp_path), target="both", instance_ratio=0.2)
    maps = data.read(data.entries[0]).maps
    assert np.array_equal(maps["semantic"], blocks() > 0)
    assert len(numbers(maps["instance"])) == 2


def test_a_crop_keeps_the_ids(tmp_path):
    """A crop inside one object has no pixel of background; its id must not become 0."""
    data = build("CVPPP", make_cvppp(tmp_path))
    crop = TRANSFORMS.build({"type": "Warp", "args": {"crop_size": 3}})
    data.prepare(crop, data.normalization)
    crops = [numbers(data[(epoch, 0)]["target"]) for epoch in range(60)]
    assert {ids[0] for ids in crops if len(ids) == 1} == {0, 1, 2, 3, 4, 5, 6}


# --- CVPPP ----------------------------------------------------------------------------------------


def test_cvppp_reads_palettes_colours_and_alpha(tmp_path):
    make_cvppp(tmp_path, count=1)
    colours = np.zeros((40, 48, 3), np.uint8)
    colours[blocks() == 1], colours[blocks() == 2] = (1, 0, 0), (0, 0, 255)
    write_plant(tmp_path / "train" / "A1", "plant001", colours)
    data = build("CVPPP", tmp_path)
    assert [entry.name for entry in data.entries] == ["A1/plant000", "A1/plant001"]
    assert np.array_equal(instance(data), blocks())
    assert numbers(instance(data, 1)) == [0, 255, 65536]
    sample = data.read(data.entries[0])
    assert np.array_equal(sample.image, picture(channels=4)[:, :, :3])


def test_cvppp_subsets(tmp_path):
    make_cvppp(make_cvppp(tmp_path, count=1), subset="A4", count=2)
    data = build("CVPPP", tmp_path, subset=["A4", "A1"])
    assert [e.name for e in data.entries] == ["A1/plant000", "A4/plant000", "A4/plant001"]
    with pytest.raises(UserError, match="there is no folder .*train/A2"):
        build("CVPPP", tmp_path, subset="A2")


def test_cvppp_official_folder_names_the_tool(tmp_path):
    make_cvppp(tmp_path, split=None)
    with pytest.raises(UserError, match=f"python tools/split_cvppp.py {tmp_path}"):
        build("CVPPP", tmp_path)


def test_cvppp_one_folder_deeper(tmp_path):
    make_cvppp(tmp_path / "cvppp_split", count=2)
    assert len(build("CVPPP", tmp_path)) == 2


def test_cvppp_test_images_may_lack_labels(tmp_path):
    make_cvppp(tmp_path, "test", count=2)
    folder = tmp_path / "test" / "A1"
    (folder / "plant000_label.png").unlink()
    with pytest.raises(UserError, match="plant000_rgb.png has no label"):
        build("CVPPP", tmp_path, split="test")
    (folder / "plant001_label.png").unlink()
    data = build("CVPPP", tmp_path, split="test")
    assert data[1]["name"] == "A1/plant001" and "target" not in data[1]
    with pytest.raises(UserError, match="none of the 2 images"):
        check_dataset(data)


def test_cvppp_without_a_label(tmp_path):
    make_cvppp(tmp_path)
    (tmp_path / "train" / "A1" / "plant001_label.png").unlink()
    with pytest.raises(UserError, match="plant001_rgb.png has no label"):
        build("CVPPP", tmp_path)


def test_real_cvppp(real_data):
    for split, count in {"train": 83, "val": 20}.items():
        data = build("CVPPP", real_data / "cvppp", split=split, target="both")
        assert len(data) == count
    sample = data.read(data.entries[0])
    assert sample.image.shape == (530, 500, 3)
    leaves = numbers(sample.maps["instance"])
    assert leaves == list(range(len(leaves))) and 12 <= len(leaves) <= 21
    assert check_dataset(data).counts[1] / 265000 / 20 == pytest.approx(0.15, abs=0.05)


# --- DSB2018 --------------------------------------------------------------------------------------


def test_dsb_official_folders(tmp_path):
    data = build("DSB2018", make_dsb(tmp_path))
    assert [entry.name for entry in data.entries] == ["id0", "id1", "id2"]
    assert np.array_equal(instance(data), np.where(blocks() <= 3, blocks(), 0))


def test_dsb_the_smaller_nucleus_lies_on_top(tmp_path):
    folder = make_dsb(tmp_path, count=1) / "stage1_train" / "id0" / "masks"
    large, small = np.zeros((2, 40, 48), np.uint8)
    large[:30, :30], small[10:12, 10:12] = 255, 255
    write_png(folder / "1.png", small)
    write_png(folder / "2.png", large)
    (folder / "3.png").unlink()
    ids = instance(build("DSB2018", tmp_path))
    assert (ids == 1).sum() == 4 and (ids == 2).sum() == 900 - 4


def test_dsb_a_mask_that_is_written_again(tmp_path):
    """The folder of masks keeps its size and time."""
    make_dsb(tmp_path, count=1)
    section = {"type": "DSB2018", "args": {"data_dir": str(tmp_path), "cache": "disk"}}
    data = make_dataset(section, None)
    before, remembered = data[0]["target"].numpy(), cache_file(data)
    check_dataset(data)
    assert cache_file(data) == remembered and remembered.is_file()
    write_png(tmp_path / "stage1_train/id0/masks/1.png", np.full((40, 48), 255, np.uint8))
    assert not np.array_equal(data[0]["target"].numpy(), before)
    assert cache_file(data) != remembered


def test_dsb_one_folder_deeper(tmp_path):
    make_dsb(tmp_path / "data-science-bowl", count=2)
    make_folder(tmp_path / "merged" / "val", count=1)
    assert len(build("DSB2018", tmp_path)) == 2
    assert len(build("DSB2018", tmp_path, split="val")) == 1
    make_folder(tmp_path / "merged" / "train", count=1)
    make_dsb(tmp_path, count=3)
    assert len(build("DSB2018", tmp_path)) == 3, "what is not deeper comes first"


def test_dsb_test_images_have_no_masks(tmp_path):
    make_dsb(tmp_path, count=2, name="stage1_test")
    for folder in (tmp_path / "stage1_test").iterdir():
        shutil.rmtree(folder / "masks")
    data = build("DSB2018", tmp_path, split="test", target="both")
    assert data[0]["name"] == "id0" and "target" not in data[0]
    make_folder(tmp_path / "test", count=3)
    shutil.rmtree(tmp_path / "test" / "labels")
    data = build("DSB2018", tmp_path, split="test")
    assert len(data) == 3 and "target" not in data[0]


def test_dsb_folders_that_lack_something(tmp_path):
    folder = make_dsb(tmp_path, count=4) / "stage1_train"
    shutil.rmtree(folder / "id1" / "masks")
    (folder / "id2" / "images" / "id2.png").unlink()
    with pytest.raises(UserError, match="id1 needs .*masks, which is not there\n.*id2 needs"):
        build("DSB2018", tmp_path)
    with noting_unpaired() as noted:
        assert [entry.name for entry in build("DSB2018", tmp_path).entries] == ["id0", "id3"]
    assert len(noted) == 2


def test_dsb_merged_label_maps(tmp_path):
    make_folder(tmp_path / "val", blocks().astype(np.uint16) * 300)
    assert numbers(instance(build("DSB2018", tmp_path, split="val"))) == list(range(0, 2100, 300))


def test_dsb_holds_out_a_share(tmp_path):
    make_dsb(tmp_path, count=10)
    names = {
        split: [e.name for e in build("DSB2018", tmp_path, split=split, val_fraction=0.3).entries]
        for split in ("train", "val")
    }
    assert len(names["val"]) == 3 and names["val"] == sorted(names["val"])
    assert sorted(names["train"] + names["val"]) == [f"id{i}" for i in range(10)]
    other = build("DSB2018", tmp_path, split="val", val_fraction=0.3, split_seed=1)
    assert [entry.name for entry in other.entries] != names["val"]


@pytest.mark.parametrize(
    "args, message",
    [
        ({"split": "val"}, 'no folder .*stage1_val; "val_fraction" holds out'),
        ({"val_fraction": 1.0}, "val_fraction is 1.0; give a share between 0 and 1"),
        ({"val_fraction": 0.5, "split_seed": -2}, "split_seed is -2"),
    ],
)
def test_dsb_bad_splits(tmp_path, args, message):
    with pytest.raises(UserError, match=message):
        build("DSB2018", make_dsb(tmp_path), **args)


def test_dsb_masks_that_do_not_fit(tmp_path):
    folder = make_dsb(tmp_path, count=1) / "stage1_train" / "id0"
    data = build("DSB2018", tmp_path)
    write_png(folder / "masks" / "2.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(UserError, match="2.png is 6x5, unlike the masks before it"):
        instance(data)
    for mask in (folder / "masks").iterdir():
        mask.unlink()
    with pytest.raises(UserError, match="masks holds no mask"):
        instance(data)
    (folder / "images" / "id0.png").unlink()
    with pytest.raises(UserError, match="id0 needs .*id0.png, which is not there"):
        build("DSB2018", tmp_path)


def test_real_dsb(real_data):
    for split, count in {"train": 200, "val": 50}.items():
        data = build("DSB2018", real_data / "dsb2018", split=split)
        assert len(data) == count
    assert data[0]["image"].shape == (3, 256, 256) and data[0]["target"].max() > 1


# --- TuSimple -------------------------------------------------------------------------------------


def test_lanes_by_hand():
    """A lane of thickness 1 through x = 3 at y = 2 and 4, without its -2; a dot; none."""
    lanes = [[-2, 3, 3], [6, -2, -2], [-2, -2, -2]]
    line = json.dumps({"lanes": lanes, "h_samples": [0, 2, 4], "raw_file": "a.jpg"})
    ids = draw_lanes(lane_frame(json.loads(line)), (6, 8), 1)
    expected = np.zeros((6, 8), np.int32)
    expected[2:5, 3], expected[0, 6] = 1, 2
    assert np.array_equal(ids, expected)


def test_later_lanes_lie_on_top_and_there_may_be_many():
    lanes = [[4, 4]] * 2 + [[20 + 4 * i] * 2 for i in range(7)]
    line = json.dumps({"lanes": lanes, "h_samples": [0, 9], "raw_file": "a.jpg"})
    assert numbers(draw_lanes(lane_frame(json.loads(line)), (10, 60), 1)) == [0, *range(2, 10)]


def test_thickness_in_pixels():
    line = lane_line("a.jpg", [[24] * len(HEIGHTS)])
    for thickness in (1, 5, 7):
        ids = draw_lanes(lane_frame(json.loads(line)), (64, 48), thickness)
        assert ((ids == 1).sum(axis=1)[HEIGHTS[0] : HEIGHTS[-1] + 1] == thickness).all()


def test_tusimple_official_splits(tmp_path):
    make_tusimple(tmp_path)
    counts = {s: len(build("TuSimple", tmp_path, split=s)) for s in ("train", "val", "trainval")}
    assert counts == {"train": 4, "val": 2, "trainval": 6}
    data = build("TuSimple", tmp_path, split="val")
    assert [e.name for e in data.entries] == ["clips/0531/0/20", "clips/0531/1/20"]
    item = data[0]
    assert item["meta"]["raw_file"] == "clips/0531/0/20.jpg"
    assert item["meta"]["h_samples"] == HEIGHTS and len(item["meta"]["lanes"]) == 2
    assert item["meta"]["lanes"][1][:3] == [-2, -2, 30]
    assert numbers(item["target"]) == [0, 1, 2]


def test_tusimple_keeps_lanes_in_its_list_alone(tmp_path):
    """A worker that reads Python objects copies their memory; a list of entries is two arrays."""
    make_tusimple(tmp_path, frames=50)
    few, many = (build("TuSimple", tmp_path, split=split) for split in ("val", "trainval"))
    assert len(many) == 3 * len(few)
    size = [sum(len(pickle.dumps(v)) for k, v in vars(d).items() if k != "entries")
            for d in (few, many)]  # fmt: skip
    assert abs(size[0] - size[1]) < 50


def test_tusimple_train_set_and_test_set(tmp_path):
    make_tusimple(tmp_path / "train_set")
    assert len(build("TuSimple", tmp_path)) == 4
    make_tusimple(tmp_path / "test_set", dates=("0530",))
    (tmp_path / "test_set" / "label_data_0530.json").rename(tmp_path / "test_label.json")
    assert len(build("TuSimple", tmp_path, split="test")) == 2


def test_tusimple_one_folder_deeper(tmp_path):
    make_tusimple(tmp_path / "TUSimple" / "train_set")
    make_tusimple(tmp_path / "TUSimple" / "test_set", dates=("0530",))
    test = tmp_path / "TUSimple" / "test_label.json"
    (tmp_path / "TUSimple" / "test_set" / "label_data_0530.json").rename(test)
    assert len(build("TuSimple", tmp_path)) == 4
    assert len(build("TuSimple", tmp_path, split="test")) == 2
    make_tusimple(tmp_path / "another")
    with pytest.raises(UserError, match="there are .*TUSimple and .*another; set data_dir"):
        build("TuSimple", tmp_path)
    make_folder(tmp_path / "drawn" / "all")
    assert len(build("TuSimple", tmp_path / "drawn", split="trainval")) == 3


def test_tusimple_frames_without_an_image(tmp_path):
    make_tusimple(tmp_path, frames=3)
    for frame in ("0313/1", "0601/2"):
        (tmp_path / "clips" / frame / "20.jpg").unlink()
    with noting_unpaired() as noted:
        assert len(build("TuSimple", tmp_path)) == 4
    assert [text.split(", but")[0].split("lists ")[1] for text in noted] == [
        "clips/0313/1/20.jpg",
        "clips/0601/2/20.jpg",
    ]


def test_tusimple_targets(tmp_path):
    data = build("TuSimple", make_tusimple(tmp_path), target="both", thickness=3)
    target = data[0]["target"]
    assert torch.equal(target["semantic"], (target["instance"] > 0).long())
    assert (target["instance"] == 1).sum() >= 3 * 36


def test_tusimple_holds_out_a_share(tmp_path):
    make_tusimple(tmp_path, frames=4)
    names = {
        split: {e.name for e in build("TuSimple", tmp_path, split=split, val_fraction=0.25).entries}
        for split in ("train", "val")
    }
    assert len(names["val"]) == 3 and len(names["train"]) == 9
    assert not names["val"] & names["train"]


def test_tusimple_prepared_folder(tmp_path):
    make_folder(tmp_path, np.where(blocks(3) > 0, 50 * (blocks(3).astype(np.uint16) - 1) + 20, 0))
    data = build("TuSimple", tmp_path, split="trainval", target="both")
    item = data[0]
    assert numbers(item["target"]["instance"]) == [0, 20, 70, 120]
    assert numbers(item["target"]["semantic"]) == [0, 1]
    assert "lanes" not in item["meta"]
    with pytest.raises(UserError, match="prepared folder, which has no splits"):
        build("TuSimple", tmp_path)


@pytest.mark.parametrize(
    "args, message",
    [
        ({"split": "val"}, "split 'val' needs label_data_0531.json, found only label_data_0601"),
        ({"split": "test"}, "there is no file .*test_label.json"),
        ({"thickness": 0}, "thickness is 0; give a width in pixels"),
    ],
)
def test_tusimple_bad_arguments(tmp_path, args, message):
    with pytest.raises(UserError, match=message):
        build("TuSimple", make_tusimple(tmp_path, dates=("0601",)), **args)


def test_tusimple_broken_files(tmp_path):
    with pytest.raises(UserError, match="holds neither label_data_\\*.json"):
        build("TuSimple", tmp_path)
    make_tusimple(tmp_path, dates=("0313",))
    file = tmp_path / "label_data_0313.json"
    lines = file.read_text()
    file.write_text(lines + lines.splitlines()[0] + "\n")
    with pytest.raises(UserError, match="0313.json line 3 lists clips/0313/0/20.jpg, which"):
        build("TuSimple", tmp_path)
    file.write_text(lines)
    (tmp_path / "clips/0313/1/20.jpg").unlink()
    with pytest.raises(UserError, match="lists clips/0313/1/20.jpg, but there is no file"):
        build("TuSimple", tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"lanes": [], "h_samples": [1, 2]}',
        '{"lanes": [[1, 2], [3]], "h_samples": [1, 2], "raw_file": "a"}',
        '{"lanes": [[1, 2, 3, 4]], "h_samples": [1, 2], "raw_file": "a"}',
        '{"lanes": [[1, "x"]], "h_samples": [1, 2], "raw_file": "a"}',
        '{"lanes": [[1, 2]], "h_samples": [1, 2], "raw_file": 7}',
        '{"lanes": [[1, 2]], "h_samples": [1, 2], "raw_file": ""}',
    ],
)
def test_lines_that_are_no_frame(tmp_path, line):
    file = tmp_path / "label_data_1.json"
    file.write_text("\n" + line)
    with pytest.raises(UserError, match="label_data_1.json line 2 is not a frame of TuSimple"):
        read_lane_file(file)


def test_a_byte_order_mark_is_no_part_of_a_line(tmp_path):
    make_tusimple(tmp_path, dates=("0313",))
    file = tmp_path / "label_data_0313.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(read_lane_file(file)) == 2


def test_a_frame_without_lanes_is_background(tmp_path):
    line = json.dumps({"lanes": [], "h_samples": [0, 2], "raw_file": "a.jpg"})
    assert numbers(draw_lanes(lane_frame(json.loads(line)), (6, 8), 5)) == [0]


def test_real_tusimple(real_data):
    data = build("TuSimple", real_data / "tusimple_mini")
    assert len(data) == 6
    item = data[3]
    assert item["image"].shape == (3, 720, 1280) and numbers(item["target"]) == [0, 1, 2, 3, 4, 5]
    for lane, xs in enumerate(item["meta"]["lanes"], 1):
        hits = [
            item["target"][y, x]
            for x, y in zip(xs, item["meta"]["h_samples"], strict=True)
            if x >= 0
        ]
        assert np.mean([hit == lane for hit in hits]) > 0.9


# --- FolderInstances ------------------------------------------------------------------------------


def test_folder_instances_layouts_and_names(tmp_path):
    make_folder(tmp_path / "train")
    data = build("FolderInstances", tmp_path, split="train", classes=["soil", "leaf"])
    assert data.classes == ["soil", "leaf"] and len(data) == 3
    (tmp_path / "list.txt").write_text("train/images/2.png train/labels/2.png\n")
    listed = build("FolderInstances", tmp_path, list="list.txt")
    assert [entry.name for entry in listed.entries] == ["train/images/2"]
    stars = {"images": "*/images/*.png", "labels": "*/labels/*.png"}
    assert len(build("FolderInstances", tmp_path, **stars)) == 3


def test_folder_instances_of_two_sizes(tmp_path):
    make_folder(tmp_path, np.zeros((5, 6), np.uint8))
    data = build("FolderInstances", tmp_path)
    with pytest.raises(UserError, match="0.png is 48x40, its label .*0.png 6x5"):
        data[0]


def test_class_ids_in_place_of_objects_are_hinted_at(tmp_path, caplog):
    """0 and 1 for six separate objects: the id 1 lies in six pieces."""
    check_dataset(build("FolderInstances", make_folder(tmp_path / "good")))
    assert not caplog.text
    check_dataset(
        build("FolderInstances", make_folder(tmp_path / "bad", (blocks() > 0) * np.uint8(1)))
    )
    assert "an id lies in 6 separate pieces on average, as the ids of classes do" in caplog.text


def test_our_objects_are_not_taken_for_classes(caplog):
    check_dataset(build("ShapesInstances", length=8))
    assert not caplog.text


# --- ShapesInstances ------------------------------------------------------------------------------


def test_shapes_instances_touch_and_are_seen():
    data = build("ShapesInstances", length=12, count=[6, 9], target="both")
    for index in range(12):
        ids = instance(data, index)
        objects = numbers(ids)
        assert objects == list(range(len(objects))) and 6 <= len(objects) - 1 <= 9
        right, left = ids[:, 1:], ids[:, :-1]
        assert ((right != left) & (right > 0) & (left > 0)).any()
        assert np.bincount(ids.ravel())[1:].min() > 60


def test_colour_does_not_tell_objects_apart():
    """Of the spread of the green channel over leaf pixels, less than a half lies between leaves."""
    data = build("ShapesInstances", length=4)
    for entry in data.entries:
        sample = data.read(entry)
        ids, green = sample.maps["instance"], sample.image[:, :, 1].astype(float)
        means = [green[ids == number].mean() for number in numbers(ids)[1:]]
        assert np.std(means) < 0.5 * green[ids > 0].std()


def test_shapes_instances_follow_from_split_and_index():
    long, short = build("ShapesInstances", length=9), build("ShapesInstances", length=2)
    val = build("ShapesInstances", length=2, split="val")
    assert torch.equal(long[1]["image"], short[1]["image"])
    assert not torch.equal(val[1]["image"], short[1]["image"])


@pytest.mark.parametrize(
    "args, message",
    [
        ({"length": 0}, "at least 1 image of 32 pixels"),
        ({"size": [16, 64]}, "at least 1 image of 32 pixels"),
        ({"count": [5, 2]}, "count is \\[5, 2\\]; give the lowest"),
    ],
)
def test_shapes_instances_bad_arguments(args, message):
    with pytest.raises(UserError, match=message):
        build("ShapesInstances", **args)


def test_no_object_at_all():
    assert numbers(instance(build("ShapesInstances", count=[0, 0]))) == [0]


# --- through the loader ---------------------------------------------------------------------------


def test_a_share_through_a_config_section(tmp_path):
    args = {"data_dir": str(make_cvppp(tmp_path)), "instance_ratio": 0.5, "crop_size": 32}
    dataset = make_dataset({"type": "CVPPP", "args": args}, None, training=True)
    assert dataset[0]["target"].shape == (32, 32)
