"""PASCAL VOC 2012, alone or with the labels of SBD.

Everingham et al., The Pascal Visual Object Classes Challenge, 2015 (not on arXiv).
Hariharan et al., Semantic Contours from Inverse Detectors, 2011 (not on arXiv).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from torchvision.datasets.voc import DATASET_YEAR_DICT

from base.base_dataset import DATASETS, BaseDataset
from dataloaders.download import fetch
from dataloaders.files import (
    NoFolder,
    find_below,
    find_data_dir,
    refuse_unpaired,
    require_names,
)
from dataloaders.palettes import load_palette
from utils.errors import UserError
from utils.fingerprint import files_of
from utils.lines import read_lines
from utils.sample import Entry

AUGMENTED = "_aug"
RIM = 255


@DATASETS.register
class VOC(BaseDataset):
    """PASCAL VOC 2012: photos, 20 classes of things and the background; their rims are ignored.

    `VOC2012` holds `JPEGImages`, `SegmentationClass` and `ImageSets/Segmentation/<split>.txt`, a
    name a line. The lists of the `_aug` splits have an image and a label path a line; both may
    start with a slash, and stand below `VOC2012`.

    Args:
        data_dir: Folder that holds `VOCdevkit/VOC2012` or `VOC2012`, or the latter itself.
        split: "train", "val", "trainval", "test" (images without labels), or with the labels of
            SBD in `SegmentationClassAug` "train_aug", "val_aug", "trainval_aug".
        download: Fetch the images and labels of train and val, 2 GB, where they are missing.
        ignore_index: Label of the rims.
    """

    classes, palette = load_palette("voc")
    mean = [0.45734706, 0.43338275, 0.40058118]
    std = [0.23965294, 0.23532275, 0.2398498]

    def __init__(
        self,
        data_dir: str,
        split: Literal[
            "train", "val", "trainval", "test", "train_aug", "val_aug", "trainval_aug"
        ] = "train",
        download: bool = False,
        ignore_index: int = 255,
    ):
        self.download = download
        super().__init__(data_dir, split, ignore_index)

    def list_entries(self) -> list[Entry]:
        root = self._find()
        index = root / "ImageSets" / "Segmentation" / f"{self.split}.txt"
        if self.split.endswith(AUGMENTED) and not index.is_file():
            raise UserError(
                f"there is no file {index}; python tools/prepare_voc_aug.py makes it from SBD"
            )
        entries = [self._entry(root, line, index) for line in read_lines(index)]
        require_names([entry.name for entry in entries], index)
        missing = {
            path: f"{index} lists {entry.name}, but there is no file {path}"
            for entry in entries
            for path in files_of(entry)
            if not path.is_file()
        }
        refuse_unpaired([*missing.values()])
        return [entry for entry in entries if not missing.keys() & {*files_of(entry)}]

    def _find(self) -> Path:
        folder = Path(self.data_dir).expanduser()
        try:
            folder = find_data_dir(self.data_dir)
            return find_voc(folder)
        except NoFolder:
            if not self.download:
                raise
            archive = DATASET_YEAR_DICT["2012"]
            fetch(archive["url"], archive["md5"], archive["base_dir"], folder)
            return folder / archive["base_dir"]

    def _entry(self, root: Path, line: str, index: Path) -> Entry:
        words = line.split()
        if len(words) > 2 or (len(words) == 2) != self.split.endswith(AUGMENTED):
            wanted = "an image and a label path" if self.split.endswith(AUGMENTED) else "a name"
            raise UserError(f"{index} has the line {line!r}; {wanted} is expected")
        if len(words) == 2:
            image, label = (root / word.lstrip("/") for word in words)
            return Entry(image.stem, image, label)
        image = root / "JPEGImages" / f"{line}.jpg"
        if self.split == "test":
            return Entry(line, image)
        return Entry(line, image, root / "SegmentationClass" / f"{line}.png")

    def decode(self, label: np.ndarray, entry: Entry) -> dict[str, np.ndarray]:
        labels = super().decode(label, entry)["semantic"]
        return {"semantic": np.where(labels == RIM, self.ignore_index, labels)}


def find_voc(folder: Path) -> Path:
    """The folder VOC2012: below a folder, or that itself.

    Raises:
        NoFolder: If it is not there.
    """
    return folder if (folder / "ImageSets").is_dir() else find_below(folder, "VOC2012")
