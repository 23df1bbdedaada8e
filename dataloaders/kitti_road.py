"""KITTI's road and lane benchmark.

Fritsch et al., A New Performance Measure and Evaluation Benchmark for Road Detection Algorithms,
ITSC 2013 (not on arXiv).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from base.base_dataset import DATASETS, BaseDataset
from dataloaders.files import find_below, find_data_dir, list_images, pair
from dataloaders.held_out import check_held_out, held_out
from dataloaders.palettes import load_palette
from utils.errors import UserError
from utils.sample import Entry, Sample

RED, BLUE = 0, 2


@DATASETS.register
class KITTIRoad(BaseDataset):
    """Road scenes, about 375x1242: the road, or the car's own lane, and the rest.

    Label files are red inside the area that is evaluated and blue on the road. Pixels outside the
    area are ignored; `meta["valid"]` holds it as (H, W) bool at the size on disk, for the metric
    KittiRoad. There are no official validation images: a seeded share of the training images is
    held out.

    Args:
        data_dir: Folder that holds `data_road/training` or `training`.
        split: "train", "val", "trainval" for both, or "test" (images without labels).
        mode: "road", or "lane", which only the `um` images have.
        val_fraction: Share of the labelled images that is "val", 0 to 1.
        split_seed: Another number holds out other images.
        ignore_index: Label of what lies outside the evaluated area.
    Raises:
        ValueError: If val_fraction is not between 0 and 1 or split_seed negative.
    """

    classes, palette = load_palette("kitti_road")

    def __init__(
        self,
        data_dir: str,
        split: Literal["train", "val", "trainval", "test"] = "train",
        mode: Literal["road", "lane"] = "road",
        val_fraction: float = 0.2,
        split_seed: int = 0,
        ignore_index: int = 255,
    ):
        check_held_out(val_fraction, split_seed)
        self.mode, self.val_fraction, self.split_seed = mode, val_fraction, split_seed
        super().__init__(data_dir, split, ignore_index)

    def list_entries(self) -> list[Entry]:
        root = find_data_dir(self.data_dir)
        if self.split == "test":
            images = list_images(find_below(root, "testing/image_2"))
            return [Entry(name, path) for name, path in images.items()]
        entries = self._labelled(find_below(root, "training/gt_image_2").parent)
        if self.split == "trainval":
            return entries
        return held_out(entries, self.split, self.val_fraction, self.split_seed)

    def _labelled(self, folder: Path) -> list[Entry]:
        images = list_images(folder / "image_2")
        if self.mode == "lane":
            images = {name: path for name, path in images.items() if name.startswith("um_")}
        labels = {
            name.replace(f"_{self.mode}_", "_"): path
            for name, path in list_images(folder / "gt_image_2").items()
            if f"_{self.mode}_" in name
        }
        return pair(images, labels)

    def read(self, entry: Entry) -> Sample:
        sample = super().read(entry)
        if "semantic" in sample.maps:
            sample.meta["valid"] = sample.maps["semantic"] != self.ignore_index
        return sample

    def decode(self, label: np.ndarray, entry: Entry) -> dict[str, np.ndarray]:
        if label.ndim != 3:
            raise UserError(f"{entry.label} holds ids; KITTI's labels are red and blue")
        road = (label[:, :, BLUE] > 0).astype(np.int32)
        return {"semantic": np.where(label[:, :, RED] > 0, road, self.ignore_index)}
