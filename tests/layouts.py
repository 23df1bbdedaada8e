"""Small generated copies of the official layouts, a few images of 12x16 pixels each.

`LAYOUTS` has for each data set the name of its folder and what writes it; `write_all` puts them
side by side, as the configs of this project expect them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat

from dataloaders.palettes import load_palette
from tests.instance_layouts import make_cvppp, make_folder, make_tusimple
from utils.image_io import write_png

SIZE = (12, 16)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def ids(values: int | list[int], seed: int = 1, dtype: type = np.uint8) -> np.ndarray:
    """Every value, then random ones."""
    choices = np.arange(values) if isinstance(values, int) else np.array(values)
    chosen = np.random.default_rng(seed).choice(choices, SIZE)
    chosen.ravel()[: min(len(choices), chosen.size)] = choices[: chosen.size]
    return chosen.astype(dtype)


def lines(path: Path, *text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in text))


def voc(root: Path) -> None:
    folder = root / "VOCdevkit" / "VOC2012"
    names = {"train": ["2007_000032", "2007_000039"], "val": ["2007_000033"], "test": ["2008_1"]}
    lists = folder / "ImageSets" / "Segmentation"
    for split, chosen in names.items():
        lines(lists / f"{split}.txt", *chosen)
        for number, name in enumerate(chosen):
            write_png(folder / "JPEGImages" / f"{name}.jpg", noise(number))
            if split != "test":
                label = ids([0, 5, 20, 255], number)
                write_png(folder / "SegmentationClass" / f"{name}.png", label, [[9, 9, 9]])
                write_png(folder / "SegmentationClassAug" / f"{name}.png", ids([0, 7], number))
    both = names["train"] + names["val"]
    lines(lists / "trainval.txt", *both)
    for split, chosen in {**names, "trainval": both}.items():
        pairs = [f"/JPEGImages/{n}.jpg /SegmentationClassAug/{n}.png" for n in chosen]
        if split != "test":
            lines(lists / f"{split}_aug.txt", *pairs)


# 26 and 24 below 1000 are groups of cars and persons
CITYSCAPES_INSTANCES = [0, 1, 4, 7, 11, 21, 24, 26, 24000, 26000, 26001, 33000, 29000]


def cityscapes(root: Path, deeper: bool = False) -> None:
    def place(archive: str, kind: str) -> Path:
        return root / archive / kind if deeper else root / kind

    cities = {
        "train": ["aachen", "bremen", "ulm", "weimar", "zurich"],
        "val": ["frankfurt"],
        "test": ["berlin"],
        "train_extra": ["augsburg"],
    }
    for split, names in cities.items():
        extra = split == "train_extra"
        photos = "leftImg8bit_trainextra" if extra else "leftImg8bit_trainvaltest"
        for number, city in enumerate(names):
            stem = f"{city}_000000_000019"
            image = place(photos, "leftImg8bit") / split / city / f"{stem}_leftImg8bit.png"
            write_png(image, noise(number))
            values = ids(CITYSCAPES_INSTANCES, number, np.uint16)
            labels = np.where(values < 1000, values, values // 1000).astype(np.uint8)
            for kind, archive in (("gtFine", "gtFine_trainvaltest"), ("gtCoarse", "gtCoarse")):
                if split == "test" or (extra and kind == "gtFine"):
                    continue
                folder = place(archive, kind) / split / city
                write_png(folder / f"{stem}_{kind}_labelIds.png", labels)
                write_png(folder / f"{stem}_{kind}_instanceIds.png", values)


def ade20k(root: Path) -> None:
    folder = root / "ADEChallengeData2016"
    for split, short in (("training", "train"), ("validation", "val")):
        for number in (1, 2):
            name = f"ADE_{short}_{number:08d}"
            write_png(folder / "images" / split / f"{name}.jpg", noise(number))
            write_png(folder / "annotations" / split / f"{name}.png", ids(151, number))


def coco_stuff(root: Path) -> None:
    occurring = [i for i in range(182) if i not in COCO_ABSENT]
    for split in ("train2017", "val2017"):
        for number in (9, 25):
            write_png(root / "images" / split / f"{number:012d}.jpg", noise(number))
            label = ids([*occurring, 255], number)
            write_png(root / "annotations" / split / f"{number:012d}.png", label)


# street sign, hat, shoe, eye glasses, plate, mirror, window, desk, door, blender, hair brush
COCO_ABSENT = [11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90]


def coco_stuff_10k(root: Path) -> None:
    names = [f"COCO_train2014_{number:012d}" for number in (77, 109, 150)]
    for number, name in enumerate(names):
        write_png(root / "images" / f"{name}.jpg", noise(number))
        (root / "annotations").mkdir(exist_ok=True)
        label = {"S": ids([0, 1, 182], number), "names": np.array(["unlabeled"], object)}
        savemat(root / "annotations" / f"{name}.mat", label)
    for split, chosen in (("train", names[:2]), ("test", names[2:]), ("all", names)):
        lines(root / "imageLists" / f"{split}.txt", *chosen)


def kitti_road(root: Path) -> None:
    folder = root / "data_road"
    colours = np.array([[0, 0, 0], [255, 0, 0], [255, 0, 255]], np.uint8)
    for kind in ("um", "umm", "uu"):
        for number in range(3):
            write_png(folder / "training" / "image_2" / f"{kind}_{number:06d}.png", noise(number))
            modes = ("road", "lane") if kind == "um" else ("road",)
            for mode in modes:
                label = colours[ids(3, number + (mode == "lane"))]
                name = f"{kind}_{mode}_{number:06d}.png"
                write_png(folder / "training" / "gt_image_2" / name, label)
    write_png(folder / "testing" / "image_2" / "um_000000.png", noise())


def deepscene(root: Path) -> None:
    _, palette = load_palette("deepscene")
    colours = np.array([*palette, [0, 60, 0], [255, 255, 255]], np.uint8)
    for split in ("train", "test"):
        for number in (1, 2):
            folder, name = root / split, f"b{number}-09517"
            write_png(folder / "rgb" / f"{name}_Clipped.jpg", noise(number))
            write_png(folder / "GT_color" / f"{name}_mask.png", colours[ids(7, number)])


def camvid(root: Path, splits: tuple[str, ...] = ("train", "val"), count: int = 2) -> None:
    for split in splits:
        for index in range(count):
            write_png(root / split / f"{index}.png", noise(index))
            write_png(root / f"{split}annot" / f"{index}.png", ids(12, index))


def cvppp(root: Path) -> None:
    for split in ("train", "val"):
        make_cvppp(root, split)


def dsb2018(root: Path) -> None:
    for split in ("train", "val"):
        make_folder(root / split)


LAYOUTS = {
    "ADE20K": ("ade20k", ade20k),
    "COCOStuff": ("cocostuff", coco_stuff),
    "CVPPP": ("cvppp", cvppp),
    "CamVid": ("camvid", camvid),
    "Cityscapes": ("cityscapes", cityscapes),
    "DSB2018": ("dsb2018", dsb2018),
    "DeepScene": ("freiburg_forest", deepscene),
    "FolderInstances": ("instances", make_folder),
    "KITTIRoad": ("kitti_road", kitti_road),
    "TuSimple": ("tusimple_mini", make_tusimple),
    "VOC": ("voc", voc),
}


def write_all(root: Path) -> Path:
    for folder, write in LAYOUTS.values():
        write(root / folder)
    for split in ("train", "val"):  # what the configs for data of one's own stand for
        make_folder(root / "my_objects" / split)
        for number in range(3):
            write_png(root / "my_classes" / split / "images" / f"{number}.png", noise(number))
            write_png(root / "my_classes" / split / "labels" / f"{number}.png", ids(3, number))
    return root
