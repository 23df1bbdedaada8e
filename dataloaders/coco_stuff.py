"""COCO-Stuff, both partitions.

Caesar et al., COCO-Stuff: Thing and Stuff Classes in Context, 2018 (arXiv:1612.03716).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from base.base_dataset import DATASETS, BaseDataset, require_one_size
from dataloaders.files import (
    find_below,
    find_data_dir,
    list_images,
    pair,
    pair_listed,
    require_names,
)
from dataloaders.mat_files import as_label_map, load_mat
from dataloaders.palettes import load_palette
from utils.errors import UserError
from utils.lines import read_lines
from utils.sample import Entry, Sample

UNLABELED = 255  # of the PNG files; 0 in the .mat files
SPLITS = {"CocoStuff164k": ("train", "val"), "CocoStuff10k": ("train", "test", "all")}


@DATASETS.register
class COCOStuff(BaseDataset):
    """Photos of COCO, 182 ids of things and stuff; what has no label is ignored.

    No image holds 11 of the ids, such as 11 "street sign". They keep their places, so that files
    and ids agree with the official ones, and stay out of the means over classes.

    CocoStuff164k has `images/<split>2017/*.jpg` and `annotations/<split>2017/*.png` with ids from
    0. CocoStuff10k has `images/*.jpg`, `annotations/*.mat` with ids from 1, and
    `imageLists/<split>.txt`. Images keep their size; pytorch-segmentation squeezes those of
    CocoStuff10k to 513x513.

    Args:
        data_dir: Folder that holds these, or one whose subfolder does.
        split: "train" or "val", "train2017" and "val2017" are the same; of CocoStuff10k "train",
            "test" or "all".
        partition: "CocoStuff164k" or "CocoStuff10k".
        ignore_index: Label of unlabelled pixels.
    Raises:
        ValueError: If the partition has no such split.
    """

    classes, palette = load_palette("coco_stuff")
    unscored = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
    mean = [0.43931922, 0.41310471, 0.37480941]
    std = [0.24272706, 0.23649098, 0.23429529]

    def __init__(
        self,
        data_dir: str,
        split: Literal["train", "val", "train2017", "val2017", "test", "all"] = "train",
        partition: Literal["CocoStuff164k", "CocoStuff10k"] = "CocoStuff164k",
        ignore_index: int = 255,
    ):
        self.partition = partition
        self.part = split.removesuffix("2017") if partition == "CocoStuff164k" else split
        if self.part not in SPLITS[partition]:
            raise ValueError(
                f"{partition} has no split {split!r}; it has {', '.join(SPLITS[partition])}"
            )
        super().__init__(data_dir, split, ignore_index)

    def list_entries(self) -> list[Entry]:
        root = find_data_dir(self.data_dir)
        if self.partition == "CocoStuff10k":
            return self._list_10k(find_below(root, "imageLists").parent)
        images = find_below(root, f"images/{self.part}2017")
        return pair(
            list_images(images),
            list_images(images.parent.parent / "annotations" / f"{self.part}2017"),
        )

    def _list_10k(self, root: Path) -> list[Entry]:
        index = root / "imageLists" / f"{self.part}.txt"
        images = list_images(root / "images")
        labels = list_images(root / "annotations", (".mat",))
        names = read_lines(index)
        require_names(names, index)
        return pair_listed(index, names, images, labels)

    def read(self, entry: Entry) -> Sample:
        if self.partition == "CocoStuff164k":
            return super().read(entry)
        sample = super().read(entry._replace(label=None))
        label = read_mat(entry.label)
        require_one_size(entry, sample.image, label)
        sample.maps["semantic"] = np.where(label == 0, self.ignore_index, label - 1)
        return sample

    def decode(self, label: np.ndarray, entry: Entry) -> dict[str, np.ndarray]:
        labels = super().decode(label, entry)["semantic"]
        return {"semantic": np.where(labels == UNLABELED, self.ignore_index, labels)}


def read_mat(path: Path) -> np.ndarray:
    """The label map S (H, W) int32 of a .mat file.

    Raises:
        UserError: If it cannot be read or holds none.
    """
    label = load_mat(path).get("S")
    if label is None:
        raise UserError(f"{path} holds no label map S")
    return as_label_map(label, path)


DATASETS.alias("COCO", "COCOStuff")
