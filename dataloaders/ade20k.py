"""ADE20K, the 150 classes of the scene parsing benchmark.

Zhou et al., Semantic Understanding of Scenes through the ADE20K Dataset, 2018 (arXiv:1608.05442).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from base.base_dataset import DATASETS, BaseDataset
from dataloaders.files import find_below, find_data_dir, list_images, pair
from dataloaders.palettes import load_palette
from utils.sample import Entry

FOLDERS = {"train": "training", "val": "validation"}


@DATASETS.register
class ADE20K(BaseDataset):
    """Scenes indoors and outdoors, 150 classes; label 0, "other", is ignored.

    Label files hold class ids from 1, as in `objectInfo150.txt`; the ids here start with 0, wall.

    Args:
        data_dir: Folder that holds `ADEChallengeData2016`, or `images` and `annotations`.
        split: "train" or "val"; "training" and "validation" are the same.
        ignore_index: Label of "other".
    """

    classes, palette = load_palette("ade20k")
    mean = [0.48897059, 0.46548275, 0.4294]
    std = [0.22861765, 0.22948039, 0.24054667]

    def __init__(
        self,
        data_dir: str,
        split: Literal["train", "val", "training", "validation"] = "train",
        ignore_index: int = 255,
    ):
        super().__init__(data_dir, split, ignore_index)

    def list_entries(self) -> list[Entry]:
        root, part = find_data_dir(self.data_dir), FOLDERS.get(self.split, self.split)
        images = find_below(root, f"images/{part}")
        return pair(list_images(images), list_images(images.parent.parent / "annotations" / part))

    def decode(self, label: np.ndarray, entry: Entry) -> dict[str, np.ndarray]:
        labels = super().decode(label, entry)["semantic"]
        return {"semantic": np.where(labels == 0, self.ignore_index, labels - 1)}
