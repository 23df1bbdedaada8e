"""CamVid in the layout of the SegNet tutorial.

Brostow et al., Semantic object classes in video: A high-definition ground truth database, 2009; the
11 classes and the split of Badrinarayanan et al., SegNet, 2015 (arXiv:1511.00561).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from base.base_dataset import DATASETS, BaseDataset
from dataloaders.files import (
    find_below,
    find_data_dir,
    list_images,
    pair,
    pair_listed,
    require_names,
)
from dataloaders.palettes import load_palette
from utils.lines import read_lines
from utils.sample import Entry

VOID = 11


@DATASETS.register
class CamVid(BaseDataset):
    """Street scenes from a driving car, 480x360, 11 classes; label 11 is void and ignored.

    Images and labels lie in `<data_dir>/<split>` and `<data_dir>/<split>annot`. Where the
    original's `<split>.txt` is there its pairs, one a line, are taken; otherwise equal names.

    Args:
        data_dir: Folder that holds `train`, `trainannot`, `val`, ...
        split: "train", "val", "test", or "trainval" for the first two.
        ignore_index: Label of void pixels.
    """

    classes, palette = load_palette("camvid")
    mean = [0.4116, 0.4250, 0.4322]
    std = [0.3068, 0.3112, 0.3069]

    def __init__(
        self,
        data_dir: str,
        split: Literal["train", "val", "test", "trainval"] = "train",
        ignore_index: int = 255,
    ):
        super().__init__(data_dir, split, ignore_index)

    def list_entries(self) -> list[Entry]:
        root = find_data_dir(self.data_dir)
        splits = ["train", "val"] if self.split == "trainval" else [self.split]
        return [entry for split in splits for entry in self._list_split(root, split)]

    def _list_split(self, root: Path, split: str) -> list[Entry]:
        folder = find_below(root, split).parent
        images, labels = (list_images(folder / name) for name in (split, f"{split}annot"))
        index = folder / f"{split}.txt"
        if not index.is_file():
            return pair(images, labels)
        names = [Path(line.split()[0]).stem for line in read_lines(index)]
        require_names(names, index)
        return pair_listed(index, names, images, labels)

    def decode(self, label: np.ndarray, entry: Entry) -> dict[str, np.ndarray]:
        labels = super().decode(label, entry)["semantic"]
        return {"semantic": np.where(labels == VOID, self.ignore_index, labels)}
