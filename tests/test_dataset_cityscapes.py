"""Cityscapes: layouts, class lists, held-out cities, objects; by hand from the stored values."""

from __future__ import annotations

import layouts
import numpy as np
import pytest

from dataloaders import DATASETS
from dataloaders.check import check_dataset
from dataloaders.cityscapes_classes import LABELS, SCORED
from tools import sample_instances as tool
from utils.command import run
from utils.errors import UserError
from utils.image_io import read_label, write_png


def cityscapes(root, **args):
    return DATASETS.build({"type": "Cityscapes", "args": {"data_dir": str(root), **args}})


@pytest.fixture
def root(tmp_path):
    layouts.cityscapes(tmp_path)
    return tmp_path


def values(data, index=0):
    """What the instance file of an entry holds."""
    path = str(data.entries[index].label)
    return read_label(path.replace("labelIds", "instanceIds")).astype(int)


def names(data):
    return [entry.name.split("_")[0] for entry in data.entries]


# --- the table ------------------------------------------------------------------------------------


def test_the_official_table():
    assert len(LABELS) == 34 and len(SCORED) == 19
    assert [x.train_id for x in SCORED] == list(range(19))
    assert LABELS[7].name == "road" and LABELS[26].name == "car" and LABELS[33].name == "bicycle"
    things = [x.name for x in LABELS if x.thing]
    assert things == [x.name for x in LABELS[24:]] and "caravan" in things


# --- layouts and splits ---------------------------------------------------------------------------


@pytest.mark.parametrize("deeper", [False, True])
@pytest.mark.parametrize(
    "mode, split, cities",
    [
        ("fine", "train", ["aachen", "bremen", "ulm", "weimar", "zurich"]),
        ("fine", "val", ["frankfurt"]),
        ("fine", "test", ["berlin"]),
        ("coarse", "train", ["aachen", "bremen", "ulm", "weimar", "zurich"]),
        ("coarse", "val", ["frankfurt"]),
        ("coarse", "train_extra", ["augsburg"]),
    ],
)
def test_splits_in_both_layouts(deeper, mode, split, cities, tmp_path):
    layouts.cityscapes(tmp_path, deeper)
    data = cityscapes(tmp_path, split=split, mode=mode)
    assert names(data) == cities
    if split == "test":
        assert "target" not in data[0]
    else:
        kind = {"fine": "_gtFine_labelIds.png", "coarse": "_gtCoarse_labelIds.png"}[mode]
        assert all(entry.label.name == entry.name + kind for entry in data.entries)


def test_val_cities_come_out_of_train(root):
    held = {"val_cities": ["ulm", "aachen"]}
    assert names(cityscapes(root, **held)) == ["bremen", "weimar", "zurich"]
    assert names(cityscapes(root, split="val", **held)) == ["aachen", "ulm"]
    assert names(cityscapes(root, split="test")) == ["berlin"]
    assert names(cityscapes(root, split="train_extra", mode="coarse")) == ["augsburg"]


def test_pytorch_segmentations_name(root):
    spec = {"type": "CityScapes", "args": {"data_dir": str(root), "mode": "coarse"}}
    assert len(DATASETS.build(spec)) == 5


# --- classes --------------------------------------------------------------------------------------


def expected(data, class_of):
    """Each stored value through a dict from label names to class names, None for ignored."""
    stored = values(data)
    label = np.where(stored < 1000, stored, stored // 1000)
    ids = {name: index for index, name in enumerate(data.classes)} | {None: 255}
    return np.array([ids[class_of(LABELS[value])] for value in label.ravel()]).reshape(label.shape)


@pytest.mark.parametrize(
    "classes, count, class_of",
    [
        (19, 19, lambda x: x.name if x.train_id is not None else None),
        (20, 20, lambda x: x.name if x.train_id is not None else "unlabeled"),
        (8, 8, lambda x: x.category),
        (7, 7, lambda x: x.category if x.category != "void" else None),
        (
            ["car", "road"],
            3,
            lambda x: (
                x.name if x.name in ("car", "road") else "rest" if x.train_id is not None else None
            ),
        ),
        (["caravan"], 2, lambda x: "caravan" if x.name == "caravan" else expected_rest(x)),
    ],
)
@pytest.mark.parametrize("target", ["semantic", "both"])
def test_classes(target, classes, count, class_of, root):
    data = cityscapes(root, classes=classes, target=target)
    assert len(data.classes) == len(data.palette) == count
    found = data[0]["target"]
    found = found["semantic"] if target == "both" else found
    assert np.array_equal(found.numpy(), expected(data, class_of))


def expected_rest(label):
    return "rest" if label.train_id is not None else None


def test_order_of_class_lists(root):
    assert cityscapes(root, classes=["road", "car"]).classes == ["road", "car", "rest"]
    assert cityscapes(root, classes=["road"]).classes == ["rest", "road"]
    assert cityscapes(root, classes=8).classes[:2] == ["void", "flat"]
    assert cityscapes(root, classes=7).classes[0] == "flat"
    assert cityscapes(root, classes=20).classes[19] == "unlabeled"


def test_void_is_not_remapped_twice(tmp_path):
    """19 is the 20th class and the id of traffic lights; one must not become the other."""
    layouts.cityscapes(tmp_path)
    path = next((tmp_path / "gtFine" / "train" / "aachen").glob("*labelIds.png"))
    write_png(path, np.repeat(np.array([[0, 19]], np.uint8), [8, 8], 1).repeat(12, 0))
    target = cityscapes(tmp_path, classes=20)[0]["target"].numpy()
    assert (target[:, :8] == 19).all() and (target[:, 8:] == 6).all()


def test_values_of_no_label_are_kept_for_the_check(root):
    path = next((root / "gtFine" / "train" / "aachen").glob("*labelIds.png"))
    write_png(path, np.full(layouts.SIZE, 77, np.uint8))
    assert set(cityscapes(root)[0]["target"].unique().tolist()) == {77}


# --- objects --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "things, ids",
    [
        ("all", [24, 26, 33]),
        ("car", [26]),
        (["person", "caravan"], [24, 29]),
    ],
)
@pytest.mark.parametrize("target", ["instance", "both"])
def test_objects(target, things, ids, root):
    data = cityscapes(root, target=target, things=things)
    found = data[0]["target"]
    found = (found["instance"] if target == "both" else found).numpy()
    stored = values(data)
    wanted = np.isin(stored // 1000, ids)
    group = np.isin(stored, ids)
    assert np.array_equal(found, np.where(group, -1, np.where(wanted, stored, 0)))
    assert group.any() and wanted.any()


def sample(root, city, place, ids):
    stem = f"{city}_000000_000019"
    path = root / "gtFine" / "train" / city / place / f"{stem}_gtFine_instanceIds.png"
    write_png(path, ids)
    index = root / "leftImg8bit" / "train" / f"{place.replace('/', '_')}.txt"
    layouts.lines(index, f"leftImg8bit/train/{city}/{stem}_leftImg8bit.png")


def test_sampled_objects(root):
    ids = np.full(layouts.SIZE, 0, np.uint16)
    ids[3, 3] = 40000
    sample(root, "ulm", "car/0.4", ids)
    cars = {"target": "instance", "things": "car", "instance_ratio": 0.4}
    data = cityscapes(root, keep_empty=False, **cars)
    assert names(data) == ["ulm"]  # the sampler kept no car of the others
    assert np.array_equal(data[0]["target"].numpy(), ids)
    every = cityscapes(root, **cars)
    assert names(every) == names(cityscapes(root))
    for item in every:  # unlabelled in every pixel
        wanted = ids if item["name"].startswith("ulm") else np.zeros(layouts.SIZE)
        assert np.array_equal(item["target"].numpy(), wanted)
    check_dataset(every)  # none of them is a fault
    sample(root, "aachen", "all/1.0", ids)
    one = cityscapes(root, target="instance", instance_ratio=1, keep_empty=False)
    assert names(one) == ["aachen"]


def test_a_sample_without_an_object(root):
    """A class that no image has, or a ratio that keeps nothing."""
    (root / "leftImg8bit/train/bus_0.1.txt").write_text("")
    args = {"target": "instance", "things": "bus", "instance_ratio": 0.1}
    refuse(root, "bus_0.1.txt is empty: the sample bus/0.1 has no object; choose", **args)


def refuse(root, *parts, **args):
    with pytest.raises(UserError) as error:
        cityscapes(root, **args)
    assert all(str(part) in str(error.value) for part in parts), error.value


@pytest.mark.parametrize("groups, value", [("ignore", -1), ("unlabelled", 0)])
def test_groups_of_a_sample(groups, value, root):
    """What the tool writes for a group of persons is what the data set makes of it."""
    assert sample_instances(root, "--classes", "person", "--ratios", 1, "--groups", groups) == 0
    data = cityscapes(root, target="instance", things="person", instance_ratio=1)
    official = cityscapes(root, target="instance", things="person")
    assert len(data) == 5
    for one, two in zip(data, official, strict=True):
        wanted = np.where(two["target"] == -1, value, two["target"])
        assert (two["target"] == -1).any() and np.array_equal(one["target"].numpy(), wanted)


@pytest.mark.parametrize("name", [x.name for x in LABELS if x.thing])
def test_the_command_for_a_missing_sample_makes_it(name, root):
    args = {"target": "instance", "things": name, "instance_ratio": 1.0}
    with pytest.raises(UserError) as error:
        cityscapes(root, **args)
    words = str(error.value).partition("cityscapes --data-dir ")[2].split()
    assert words[0] == str(root) and sample_instances(*words) == 0
    if name in ("person", "car", "bicycle", "caravan"):
        assert len(cityscapes(root, **args)) == 5


def sample_instances(root, *words):
    argv = ["cityscapes", "--data-dir", root, "--splits", "train", *words]
    return run(lambda: tool.main(tool.parse([str(word) for word in argv])))


def test_an_unfinished_sample_is_not_read(root):
    assert sample_instances(root, "--classes", "car", "--ratios", 1) == 0
    next((root / "leftImg8bit/train/zurich").iterdir()).unlink()
    assert sample_instances(root, "--classes", "car", "--ratios", 1) == 2
    args = {"target": "instance", "things": "car", "instance_ratio": 1.0}
    refuse(root, "no sample car/1.0, whose list is car_1.0.txt", **args)


def test_a_listed_image_whose_sample_is_gone(root):
    assert sample_instances(root, "--classes", "car", "--ratios", 1) == 0
    next((root / "gtFine/train/ulm/car/1.0").iterdir()).unlink()
    args = {"target": "instance", "things": "car", "instance_ratio": 1.0}
    message = "car_1.0.txt lists 5 images, and the sample car/1.0 has no file of 1 of them, such as"
    way_on = f"write it anew with python tools/sample_instances.py cityscapes --data-dir {root}"
    refuse(root, message, "ulm_000000_000019_leftImg8bit.png", way_on, **args)
    assert len(cityscapes(root, val_cities=["ulm"], **args)) == 4


def test_a_ratio_that_was_never_sampled(root):
    refuse(
        root,
        "has no sample car/0.4",
        f"python tools/sample_instances.py cityscapes --data-dir {root} --classes car --ratios 0.4 "
        "--splits train",
        target="instance",
        things="car",
        instance_ratio=0.4,
    )
    refuse(
        root,
        f"cityscapes --data-dir {root} --ratios 0.1",
        target="instance",
        instance_ratio=0.1,
    )
    refuse(
        root,
        '"val" is sampled whole, as 1.0; leave instance_ratio out there',
        split="val",
        target="instance",
        instance_ratio=0.1,
    )


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args, message",
    [
        ({"classes": ["rode"]}, "'rode'; did you mean 'road'"),
        ({"classes": ["road", "road"]}, "different names"),
        ({"things": "car"}, 'things needs "target": "instance" or "both"; leave it out'),
        (
            {"val_cities": ["ulm"], "split": "test"},
            "val_cities share out train and val, not 'test'",
        ),
        (
            {"val_cities": ["ulm"], "split": "train_extra", "mode": "coarse"},
            "val_cities share out train and val, not 'train_extra'",
        ),
        ({"things": "cart"}, "'cart'; did you mean 'car'"),
        ({"things": "road"}, "unknown name 'road'"),
        ({"things": []}, "things is empty"),
        ({"val_cities": ["ulmm"]}, "no city 'ulmm'"),
        ({"split": "train_extra"}, "'fine' has no split 'train_extra'; it has train, val, test"),
        ({"split": "test", "mode": "coarse"}, "'coarse' has no split 'test'"),
        (
            {"target": "instance", "instance_ratio": 1, "split": "test"},
            'instance_ratio is for labels, and "test" has none',
        ),
        ({"target": "instance", "instance_ratio": 0}, "instance_ratio is 0"),
        ({"target": "instance", "instance_ratio": 1.5}, "instance_ratio is 1.5"),
        ({"instance_ratio": 0.5}, '"target": "instance"'),
        (
            {"target": "instance", "instance_ratio": 0.5, "things": ["car", "bus"]},
            '"all" or one name',
        ),
        ({"ignore_index": 3}, "ignore_index 3 is the class 'wall'"),
    ],
)
def test_bad_arguments(args, message, root):
    refuse(root, message, **args)


def test_missing_pieces(root):
    label = next((root / "gtFine" / "train" / "ulm").glob("*labelIds.png"))
    label.unlink()
    refuse(root, "ulm_000000_000019_leftImg8bit.png has no label")
    image = next((root / "leftImg8bit" / "train" / "aachen").iterdir())
    image.unlink()
    refuse(root, "ulm", "aachen_000000_000019_gtFine_labelIds.png has no image")
    (root / "gtFine").rename(root / "elsewhere")
    refuse(root, "there is no folder", root / "gtFine" / "train", "docs/datasets.md")
    (root / "leftImg8bit").rename(root / "gone")
    refuse(root, root / "leftImg8bit" / "train")


# --- real samples ---------------------------------------------------------------------------------


def test_real_samples(real_data):
    root = real_data / "cityscapes_mini"
    assert len(cityscapes(root)) == 8
    data = cityscapes(root, target="both", things="car")
    target = data[0]["target"]
    assert target["semantic"].shape == (1024, 2048)
    cars = target["instance"] > 0
    assert cars.any() and (target["semantic"][cars] == 13).all()
    assert set(target["instance"].unique().tolist()) == {0, *range(26003, 26011)}


def test_a_real_group_of_persons_is_ignored(real_data):
    data = cityscapes(real_data / "cityscapes_mini", target="both", things=["person", "car"])
    target = next(data[i] for i, e in enumerate(data.entries) if e.name.startswith("aachen_000006"))
    stored = read_label(data.entries[6].label)
    assert np.array_equal(target["target"]["instance"].numpy() == -1, stored == 24)


def test_real_train_ids(real_data):
    """The published labelTrainIds are ours, but for rims where the thumbnails were scaled."""
    data = cityscapes(real_data / "cityscapes_mini", split="val")
    path = str(data.entries[0].label).replace("labelIds", "labelTrainIds")
    assert (data[0]["target"].numpy() == read_label(path)).mean() > 0.995
