"""ADE20K, COCO-Stuff, KITTI road and DeepScene: splits, labels, missing pieces, real samples."""

from __future__ import annotations

import layouts
import numpy as np
import pytest
import torch
from PIL import Image

from dataloaders import DATASETS
from dataloaders.check import check_dataset
from dataloaders.files import noting_unpaired
from utils.errors import UserError
from utils.image_io import read_label, write_png
from utils.metrics import METRICS, metric_of


def build(name, root, **args):
    return DATASETS.build({"type": name, "args": {"data_dir": str(root), **args}})


def refuse(name, root, *parts, **args):
    with pytest.raises(UserError) as error:
        build(name, root, **args)
    assert all(str(part) in str(error.value) for part in parts), error.value


# --- ADE20K ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "training", "val", "validation"])
def test_ade20k_starts_with_wall_and_ignores_other(split, tmp_path):
    layouts.ade20k(tmp_path)
    data = build("ADE20K", tmp_path, split=split)
    raw = read_label(data.entries[0].label).astype(int)
    assert np.array_equal(data[0]["target"].numpy(), np.where(raw == 0, 255, raw - 1))
    assert {0, 150} <= set(raw.ravel().tolist())
    part = "training" if split.startswith("train") else "validation"
    assert data.entries[1].image.parent.name == part and len(data) == 2


def test_ade20k_colours_are_those_of_their_class():
    data = DATASETS["ADE20K"]
    colours = dict(zip(data.classes, data.palette, strict=True))
    assert len(data.classes) == 150
    assert colours["wall"] == [120, 120, 120] and colours["building"] == [180, 120, 120]
    assert colours["sky"] == [6, 230, 230] and data.classes[-1] == "flag"


def test_ade20k_missing_pieces(tmp_path):
    layouts.ade20k(tmp_path)
    root = tmp_path / "ADEChallengeData2016"
    assert len(build("ADE20K", root)) == 2  # data_dir may be the folder itself
    (root / "annotations" / "training" / "ADE_train_00000001.png").unlink()
    refuse("ADE20K", tmp_path, "ADE_train_00000001.jpg has no label")
    (root / "annotations" / "training").rename(root / "gone")
    refuse("ADE20K", tmp_path, "there is no folder", root / "annotations" / "training")
    (root / "images").rename(root / "photos")
    refuse("ADE20K", tmp_path, tmp_path / "images" / "training", "docs/datasets.md")


def test_ade20k_values_of_no_class_are_named_as_stored(tmp_path):
    layouts.ade20k(tmp_path)
    data = build("ADE20K", tmp_path)
    write_png(data.entries[0].label, np.full(layouts.SIZE, 151, np.uint8))
    label = data.entries[0].label
    says = f"{label}: label value 151 (192 pixels, read as 150) is not one of the 150 classes"
    with pytest.raises(UserError) as error:
        check_dataset(data)
    assert says in str(error.value)


def test_ade20k_with_minus_one_as_ignored(tmp_path):
    """pytorch-segmentation's configs for it say so."""
    layouts.ade20k(tmp_path)
    assert build("ADE20K", tmp_path, ignore_index=-1)[0]["target"].min() == -1


def test_real_ade20k(real_data):
    data = build("ADE20K", real_data / "ade20k_mini", split="val")
    assert len(data) == 3 and data[0]["target"].shape == (512, 683)
    table = (real_data / "ade20k_mini/ADEChallengeData2016/objectInfo150.txt").read_text()
    names = [line.split("\t")[4].split(",")[0].strip() for line in table.splitlines()[1:]]
    assert data.classes == names


# --- COCO-Stuff -----------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "train2017", "val", "val2017"])
def test_coco_164k(split, tmp_path):
    layouts.coco_stuff(tmp_path)
    data = build("COCOStuff", tmp_path, split=split)
    assert [e.name for e in data.entries] == ["000000000009", "000000000025"]
    assert data.entries[0].image.parent.name == f"{split.removesuffix('2017')}2017"
    assert np.array_equal(data[0]["target"].numpy(), read_label(data.entries[0].label))


def test_coco_ignores_unlabelled_with_another_number_too(tmp_path):
    layouts.coco_stuff(tmp_path)
    assert build("COCO", tmp_path, ignore_index=-1)[0]["target"].min() == -1


@pytest.mark.parametrize("split, count", [("train", 2), ("test", 1), ("all", 3)])
def test_coco_10k(split, count, tmp_path):
    layouts.coco_stuff_10k(tmp_path)
    data = build("COCOStuff", tmp_path, split=split, partition="CocoStuff10k")
    assert len(data) == count
    number = {"train": 0, "test": 2, "all": 0}[split]
    raw = layouts.ids([0, 1, 182], number).astype(int)
    assert np.array_equal(data[0]["target"].numpy(), np.where(raw == 0, 255, raw - 1))


def test_coco_names_and_colours():
    data = DATASETS["COCOStuff"]
    assert len(data.classes) == 182 == len({tuple(colour) for colour in data.palette})
    assert data.classes[0] == "person" and data.classes[181] == "wood"
    absent = [data.classes[i] for i in layouts.COCO_ABSENT]
    assert absent[0] == "street sign" and absent[-1] == "hair brush" and len(absent) == 11


def test_coco_mean_is_over_the_171_that_occur(tmp_path):
    layouts.coco_stuff(tmp_path)
    data = build("COCOStuff", tmp_path)
    target = data[0]["target"][None]
    labels = target.clone()
    labels[target == 1] = 0  # bicycles taken for persons
    labels[target == 2] = 11  # cars taken for what never occurs
    metric = metric_of([{"type": "IoU"}], data)
    metric.update(labels, target)
    scores = metric.compute()
    pixels = torch.bincount(target[target < 255], minlength=182)
    assert (pixels > 0).sum() == 171
    person = pixels[0] / (pixels[0] + pixels[1])
    assert scores["Mean_IoU"] == pytest.approx((168 + person.item()) / 171)


def test_coco_missing_pieces(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    layouts.coco_stuff(a)
    (a / "images" / "train2017" / "000000000009.jpg").unlink()
    refuse("COCOStuff", a, "000000000009.png has no image")
    refuse("COCOStuff", a, "CocoStuff164k has no split 'test'; it has train, val", split="test")
    layouts.coco_stuff_10k(b)
    small = {"partition": "CocoStuff10k"}
    refuse("COCOStuff", b, "has no split 'val2017'; it has train, test", split="val2017", **small)
    name = "COCO_train2014_000000000077"
    (b / "annotations" / f"{name}.mat").write_bytes(b"no mat")
    data = build("COCOStuff", b, **small)
    with pytest.raises(UserError, match=f"{name}.mat is not a .mat file"):
        data[0]
    (b / "annotations" / f"{name}.mat").unlink()
    refuse("COCOStuff", b, "train.txt", f"lists {name}, which has no label", **small)
    (b / "imageLists" / "train.txt").write_text(f"{name}\n{name}\n")
    refuse("COCOStuff", b, f"lists {name} twice", **small)
    (b / "imageLists" / "train.txt").unlink()
    refuse("COCOStuff", b, "there is no file", "train.txt", **small)


def test_coco_10k_lists_all_that_is_missing(tmp_path):
    layouts.coco_stuff_10k(tmp_path)
    names = [f"COCO_train2014_{number:012d}" for number in (77, 109, 150)]
    (tmp_path / "images" / f"{names[0]}.jpg").unlink()
    (tmp_path / "annotations" / f"{names[2]}.mat").unlink()
    with noting_unpaired() as noted:
        data = build("COCOStuff", tmp_path, split="all", partition="CocoStuff10k")
    assert [entry.name for entry in data.entries] == names[1:2]
    index = tmp_path / "imageLists" / "all.txt"
    assert noted == [
        f"{index} lists {names[0]}, which has no image",
        f"{index} lists {names[2]}, which has no label",
    ]


def test_coco_10k_sizes_and_contents(tmp_path):
    layouts.coco_stuff_10k(tmp_path)
    data = build("COCOStuff", tmp_path, partition="CocoStuff10k")
    layouts.savemat(data.entries[0].label, {"S": np.zeros((5, 7), np.uint8)})
    with pytest.raises(UserError, match="is 16x12, its label .* 7x5"):
        data[0]
    layouts.savemat(data.entries[0].label, {"T": np.zeros((5, 7), np.uint8)})
    with pytest.raises(UserError, match="holds no label map S"):
        data[0]


@pytest.mark.parametrize(
    "content, says",
    [
        ("text", "holds no numbers of shape"),
        (np.array([["a"]], object), "holds no numbers of shape (1, 1)"),
        (np.full(layouts.SIZE, 3.7), "holds the label 3.7; labels are whole numbers"),
        (np.full(layouts.SIZE, np.nan), "holds the label nan"),
        (np.zeros((12, 16, 3), np.uint8), "holds uint8 numbers of shape (12, 16, 3); a label map"),
    ],
)
def test_coco_10k_labels_that_are_none(content, says, tmp_path):
    layouts.coco_stuff_10k(tmp_path)
    data = build("COCOStuff", tmp_path, partition="CocoStuff10k")
    layouts.savemat(data.entries[0].label, {"S": content})
    with pytest.raises(UserError) as error:
        data[0]
    assert f"{data.entries[0].label} {says}" in str(error.value)


@pytest.mark.parametrize("compressed", [False, True])
def test_coco_10k_labels_that_are_cut(compressed, tmp_path):
    """loadmat has an error of another kind for many a length."""
    layouts.coco_stuff_10k(tmp_path)
    data = build("COCOStuff", tmp_path, partition="CocoStuff10k")
    path = data.entries[0].label
    layouts.savemat(path, {"S": layouts.ids(182)}, do_compression=compressed)
    whole = path.read_bytes()
    for length in range(1, len(whole) - 8, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"\.mat (is not a .mat file|holds no label map S)"):
            data[0]


def test_grey_photos_are_read_as_rgb(tmp_path):
    layouts.coco_stuff(tmp_path)
    data = build("COCOStuff", tmp_path)
    Image.fromarray(np.full(layouts.SIZE, 99, np.uint8)).save(data.entries[0].image)
    assert data[0]["image"].shape == (3, *layouts.SIZE)


def test_real_coco(real_data):
    root = real_data / "cocostuff_mini"
    train, val = build("COCOStuff", root), build("COCOStuff", root, split="val")
    assert (len(train), len(val)) == (13, 8)
    for data in (train, val):
        found = set(torch.cat([item["target"].flatten() for item in data]).unique().tolist())
        assert not found & set(layouts.COCO_ABSENT) and found <= {*range(182), 255}


# --- KITTI road -----------------------------------------------------------------------------------


def test_kitti_reads_red_as_valid_and_blue_as_road(tmp_path):
    layouts.kitti_road(tmp_path)
    data = build("KITTIRoad", tmp_path)
    item, stored = data[0], read_label(data.entries[0].label)
    target = item["target"].numpy()
    assert np.array_equal(target == 255, (stored == 0).all(2))
    assert np.array_equal(target == 1, (stored == (255, 0, 255)).all(2))
    assert np.array_equal(target == 0, (stored == (255, 0, 0)).all(2))
    assert np.array_equal(item["meta"]["valid"], target != 255)
    assert data.classes == ["not road", "road"]


@pytest.mark.parametrize("mode, count", [("road", 9), ("lane", 3)])
def test_kitti_held_out_share(mode, count, tmp_path):
    layouts.kitti_road(tmp_path)

    def names(split, **args):
        data = build("KITTIRoad", tmp_path, split=split, mode=mode, val_fraction=0.3, **args)
        return [entry.name for entry in data.entries]

    train, val = names("train"), names("val")
    assert sorted(train + val) == names("trainval") and not set(train) & set(val)
    assert len(train) + len(val) == count and len(val) == round(0.3 * count)
    assert val == names("val")
    others = [names("val", split_seed=seed) for seed in range(1, 9)]
    assert any(other != val for other in others)


def test_kitti_test_images(tmp_path):
    layouts.kitti_road(tmp_path)
    data = build("KITTIRoad", tmp_path / "data_road", split="test")
    assert "target" not in data[0] and data[0]["name"] == "um_000000"


def test_kitti_beside_another_benchmark(tmp_path):
    """KITTI's archives unpack side by side; each has training/image_2 and testing/image_2."""
    layouts.kitti_road(tmp_path)
    for part in ("training", "testing"):
        write_png(tmp_path / "data_object" / part / "image_2" / "000000.png", layouts.noise())
    assert len(build("KITTIRoad", tmp_path, split="trainval")) == 9
    refuse("KITTIRoad", tmp_path, "data_object", "data_road", "data_dir", split="test")
    assert len(build("KITTIRoad", tmp_path / "data_road", split="test")) == 1


def test_kitti_missing_pieces(tmp_path):
    layouts.kitti_road(tmp_path)
    for share in (0, 1, -0.5):
        refuse("KITTIRoad", tmp_path, f"val_fraction is {share}", val_fraction=share)
    refuse("KITTIRoad", tmp_path, "split_seed is -1", split_seed=-1)
    labels = tmp_path / "data_road" / "training" / "gt_image_2"
    write_png(labels / "uu_road_000002.png", np.zeros(layouts.SIZE, np.uint8))
    data = build("KITTIRoad", tmp_path, split="trainval")
    with pytest.raises(UserError, match="uu_road_000002.png holds ids; KITTI's labels are red"):
        data[8]
    (labels / "umm_road_000001.png").unlink()
    refuse("KITTIRoad", tmp_path, "umm_000001.png has no label")
    (labels / "um_lane_000001.png").unlink()
    refuse("KITTIRoad", tmp_path, "um_000001.png has no label", mode="lane")
    (tmp_path / "data_road" / "training").rename(tmp_path / "gone")
    refuse("KITTIRoad", tmp_path, tmp_path / "training", "docs/datasets.md")


def test_kitti_scores_only_the_valid_area(tmp_path):
    layouts.kitti_road(tmp_path)
    item = build("KITTIRoad", tmp_path)[0]
    target = item["target"][None]
    road = torch.where(target == 255, 1, target).float()  # outside, everything is called road
    metric = METRICS.build("KittiRoad", num_classes=2, ignore_index=255)
    metric.update(target, target, {"out": torch.logit(road[:, None])}, [item["meta"]])
    assert metric.compute()["MaxF"] == 1


def test_real_kitti(real_data):
    data = build("KITTIRoad", real_data / "kitti_road", split="trainval", mode="lane")
    assert len(data) == 11
    target = data[0]["target"]
    assert target.shape == (375, 1242) and set(target.unique().tolist()) == {0, 1, 255}
    road = target[200:, 500:700] == 1
    assert road.float().mean() > 0.5 and not (target[:100] == 1).any()


# --- DeepScene ------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "training", "test", "validation"])
def test_deepscene_colours(split, tmp_path):
    layouts.deepscene(tmp_path)
    data = build("DeepScene", tmp_path, split=split)
    assert [e.name for e in data.entries] == ["b1-09517", "b2-09517"]
    assert data.entries[0].label.name == "b1-09517_mask.png"
    written = layouts.ids(7, 1).astype(int)  # the last two: trees, and void
    ids = np.array([0, 1, 2, 3, 4, data.classes.index("vegetation"), 255])
    assert np.array_equal(data[0]["target"].numpy(), ids[written])


def test_deepscene_missing_pieces(tmp_path):
    layouts.deepscene(tmp_path)
    data = build("DeepScene", tmp_path)
    label = data.entries[0].label
    write_png(label, np.full((*layouts.SIZE, 3), (1, 2, 3), np.uint8))
    with pytest.raises(UserError, match=r"holds the colour \[1, 2, 3\], which is no class's"):
        data[0]
    write_png(label, np.zeros(layouts.SIZE, np.uint8))
    with pytest.raises(UserError, match="holds ids; the labels in GT_color are colours"):
        data[0]
    label.unlink()
    refuse("DeepScene", tmp_path, "b1-09517_Clipped.jpg has no label")
    (tmp_path / "test").rename(tmp_path / "gone")
    refuse("DeepScene", tmp_path, tmp_path / "test" / "rgb", split="test")
