"""Nuclei of the 2018 Data Science Bowl, in its own layout or with one label map an image.

Caicedo et al., Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl, 2019.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from base.base_dataset import DATASETS
from dataloaders.files import (
    NoFolder,
    find_below,
    find_data_dir,
    list_images,
    pair,
    refuse_unpaired,
)
from dataloaders.held_out import check_held_out, held_out
from dataloaders.instance_dataset import InstanceDataset
from dataloaders.instance_labels import Target, read_ids
from dataloaders.palettes import load_palette
from utils.errors import UserError
from utils.image_io import read_label
from utils.sample import Entry


@DATASETS.register
class DSB2018(InstanceDataset):
    """Cell nuclei under many microscopes; the classes are background and nucleus.

    Below `<data_dir>/<split>` or `<data_dir>/stage1_<split>` lie either the official folders, with
    `<id>/images/<id>.png` and a file for each nucleus in `<id>/masks`, or merged label maps:
    `images/<id>.png` and `labels/<id>.png`. Where masks overlap, the smaller nucleus is on top.

    Args:
        data_dir: Folder that holds `train` or `stage1_train`.
        split: "train", "val" or "test" (images alone where it has no masks).
        target: "instance" for nucleus ids, "semantic" for background and nucleus, or "both".
        val_fraction: Share of the training images that is "val", where there is no such folder.
        split_seed: Which images these are follows from it.
        instance_ratio: Share of the nuclei of each image whose ids are kept, above 0 and up to 1;
            the others become 0, unlabelled. The semantic target always shows them all.
        sample_seed: Which nuclei are kept follows from it and the image's name; those of a smaller
            instance_ratio are among those of a larger one.
        ignore_index: Semantic label that counts for nothing; no pixel of this data set has it.
    Raises:
        ValueError: If a share is out of range or a seed negative.
    """

    classes, palette = load_palette("dsb2018")

    def __init__(
        self,
        data_dir: str,
        split: Literal["train", "val", "test"] = "train",
        target: Target = "instance",
        val_fraction: float | None = None,
        split_seed: int = 0,
        instance_ratio: float = 1.0,
        sample_seed: int = 0,
        ignore_index: int = 255,
    ):
        check_held_out(val_fraction, split_seed)
        self.val_fraction, self.split_seed = val_fraction, split_seed
        super().__init__(data_dir, split, target, instance_ratio, sample_seed, ignore_index)

    def list_entries(self) -> list[Entry]:
        folder = find_data_dir(self.data_dir)
        if self.val_fraction is None or self.split == "test":
            return list_split(folder, self.split)
        entries = list_split(folder, "train")
        return held_out(entries, self.split, self.val_fraction, self.split_seed)

    def read_ids(self, entry: Entry) -> np.ndarray:
        return merge_masks(entry.label) if entry.label.is_dir() else read_ids(entry.label)


def list_split(folder: Path, split: str) -> list[Entry]:
    """Images of a split, in either layout.

    Raises:
        UserError: If there is no such folder, or an image has no label.
    """
    place = find_split(folder, split)
    if (place / "images").is_dir():
        images = list_images(place / "images")
        if split == "test" and not (place / "labels").is_dir():
            return [Entry(name, path) for name, path in images.items()]
        return pair(images, list_images(place / "labels"))
    return official_entries([path for path in sorted(place.iterdir()) if path.is_dir()], split)


def find_split(folder: Path, split: str) -> Path:
    """The folder of a split, under either name.

    Raises:
        NoFolder: If there is none.
    """
    names = [split, f"stage1_{split}"]
    for name in [name for name in names if (folder / name).is_dir()] or names:
        try:
            return find_below(folder, name)
        except NoFolder:
            continue
    hint = '; "val_fraction" holds out a part of the training images' if split == "val" else ""
    raise NoFolder(f"there is no folder {folder / split} or {folder / f'stage1_{split}'}{hint}")


def official_entries(folders: list[Path], split: str) -> list[Entry]:
    """The image of each official folder, with its folder of masks as the label.

    In "test" the masks may be missing.

    Raises:
        UserError: If a folder lacks its image or its masks.
    """
    entries, problems = [], []
    for folder in folders:
        image, masks = folder / "images" / f"{folder.name}.png", folder / "masks"
        label = masks if masks.is_dir() or split != "test" else None
        missing = [path for path in (image, label) if path and not path.exists()]
        problems += [f"{folder} needs {path}, which is not there" for path in missing]
        if not missing:
            entries.append(Entry(folder.name, image, label))
    refuse_unpaired(problems)
    return entries


def merge_masks(folder: Path) -> np.ndarray:
    """Ids (H, W) int32, numbered in the order of the mask files' names.

    Raises:
        UserError: If there is no mask, one is unreadable, or sizes differ.
    """
    paths = sorted(folder.glob("[!.]*.png"))
    if not paths:
        raise UserError(f"{folder} holds no mask")
    size, objects = None, []
    for path in paths:
        mask = read_label(path)
        mask = mask.any(axis=2) if mask.ndim == 3 else mask
        if size not in (None, mask.shape):
            raise UserError(
                f"{path} is {mask.shape[1]}x{mask.shape[0]}, unlike the masks before it"
            )
        size = mask.shape
        objects.append(np.flatnonzero(mask))
    ids = np.zeros(size, np.int32)
    for i in sorted(range(len(objects)), key=lambda i: -len(objects[i])):
        ids.flat[objects[i]] = i + 1
    return ids
