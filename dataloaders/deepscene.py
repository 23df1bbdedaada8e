"""The Freiburg forest of DeepScene.

Valada et al., Deep Multispectral Semantic Scene Understanding of Forested Environments using
Multimodal Fusion, ISER 2016 (not on arXiv).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from base.base_dataset import DATASETS, BaseDataset
from dataloaders.colour_codes import codes_of, colour_of, label_codes
from dataloaders.files import by_stem, find_below, find_data_dir, list_images, pair
from dataloaders.palettes import load_palette
from utils.errors import UserError
from utils.sample import Entry

FOLDERS = {"train": "train", "training": "train", "test": "test", "validation": "test"}
VOID, TREE = [255, 255, 255], [0, 60, 0]


@DATASETS.register
class DeepScene(BaseDataset):
    """Forest tracks from a robot, 5 classes; void is ignored.

    Images lie in `<split>/rgb`, colour labels in `<split>/GT_color`; what stands before the first
    "_" pairs them. Trees have a colour of their own in some files and count as vegetation, as in
    the authors' scores.

    Args:
        data_dir: Folder that holds `train` and `test`, or one whose subfolder does.
        split: "train" or "test"; pytorch-segmentation's names are "training" and "validation".
        ignore_index: Label of void pixels.
    """

    classes, palette = load_palette("deepscene")

    def __init__(
        self,
        data_dir: str,
        split: Literal["train", "test", "training", "validation"] = "train",
        ignore_index: int = 255,
    ):
        super().__init__(data_dir, split, ignore_index)
        ids = [*enumerate(self.palette), (self.classes.index("vegetation"), TREE)]
        ids += [(ignore_index, VOID)]
        self.ids = {int(codes_of(np.array(colour))): index for index, colour in ids}

    def list_entries(self) -> list[Entry]:
        images = find_below(find_data_dir(self.data_dir), f"{FOLDERS[self.split]}/rgb")
        labels = images.parent / "GT_color"
        return pair(*(by_stem(list_images(f).values(), frame) for f in (images, labels)))

    def decode(self, label: np.ndarray, entry: Entry) -> dict[str, np.ndarray]:
        if label.ndim != 3:
            raise UserError(f"{entry.label} holds ids; the labels in GT_color are colours")
        codes, place = np.unique(label_codes(label, entry.label), return_inverse=True)
        stray = [value for value in codes.tolist() if value not in self.ids]
        if stray:
            colour = colour_of(stray[0])
            raise UserError(f"{entry.label} holds the colour {colour}, which is no class's")
        ids = np.array([self.ids[value] for value in codes.tolist()], np.int32)
        return {"semantic": ids[place].reshape(label.shape[:2])}


def frame(path: Path) -> str:
    return path.stem.split("_")[0]
