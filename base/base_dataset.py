"""The promise of every data set: a list of entries, and how one is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils.data import Dataset

from base.base_dataloader import BaseDataLoader
from utils.augmentation import augmentation
from utils.cache import SampleCache, make_cache
from utils.entries import EntryList
from utils.errors import UserError
from utils.image_io import is_turned, read_image, read_label
from utils.normalization import Normalization, make_normalization
from utils.registry import Registry
from utils.sample import Entry, Sample
from utils.targets import ignored_label

DATASETS = Registry(
    "dataset",
    supplied=("ignore_index",),
    within={
        BaseDataLoader: ("dataset", "seed", "training", "limit"),
        augmentation: (),
        make_normalization: ("dataset",),
        make_cache: ("dataset",),
    },
)


class BaseDataset(Dataset, ABC):
    """Images with label maps, by index.

    A subclass sets `classes` and `palette` and lists its entries; where its labels are stored as
    other numbers than class ids it overrides `decode`, where it has no files `read`.

    Args:
        data_dir: Folder of the data set.
        split: Part of the data set, or None where it has no parts.
        ignore_index: Label of pixels that count for nothing.

    Attributes:
        classes: Class names by id.
        palette: RGB of each class, 0 to 255.
        channels: Channels of an image.
        mean, std: Statistics of the images, 0 to 1 a channel, for `"normalize": "dataset"`.
        unscored: Ids of classes that no image holds; they stay out of the means over classes.
        targets: Label maps it gives: "semantic", "instance", or both.
        entries: What `list_entries` found, as a sequence that takes little memory.

    Raises:
        UserError: If the split is empty, or ignore_index is the id of a class.
    """

    classes: list[str]
    palette: list[list[int]]
    channels: int = 3
    mean: ClassVar[list[float] | None] = None
    std: ClassVar[list[float] | None] = None
    unscored: tuple[int, ...] = ()
    targets: tuple[str, ...] = ("semantic",)

    def __init__(self, data_dir: str | None, split: str | None, ignore_index: int = 255):
        self.data_dir, self.split, self.ignore_index = data_dir, split, ignore_index
        if 0 <= ignore_index < len(self.classes):
            raise UserError(
                f"ignore_index {ignore_index} is the class "
                f"{self.classes[ignore_index]!r}; take a number outside "
                f"0 to {len(self.classes) - 1}"
            )
        self.seed = 0
        self.transform: Callable[[Sample, np.random.Generator], Sample] | None = None
        self.normalization = Normalization()
        self.cache: SampleCache | None = None
        self.entries = EntryList(self.list_entries())
        if not self.entries:
            raise UserError(f"split {split!r} of {type(self).__name__} in {data_dir} has no images")

    @abstractmethod
    def list_entries(self) -> list[Entry]:
        """Every sample of the split, in an order that does not change from run to run.

        Raises:
            UserError: If folders are missing, or an image has no label.
        """

    def read(self, entry: Entry) -> Sample:
        """The sample as it lies on disk, labels decoded.

        Raises:
            UserError: If a file is unreadable, or image and label differ in size.
        """
        image = read_image(entry.image, self.channels)
        maps = {} if entry.label is None else self.decode(read_label(entry.label), entry)
        for label in maps.values():
            require_one_size(entry, image, label)
        return Sample(entry.name, image, maps)

    def decode(self, label: np.ndarray, entry: Entry) -> dict[str, np.ndarray]:
        """Label maps (H, W) int32 by target name, from a label file's pixels.

        Raises:
            UserError: If the file holds colours.
        """
        if label.ndim == 3:
            raise UserError(
                f"{entry.label} holds colours, not class ids; "
                'read it with the data set Folder and a "colors" map'
            )
        return {"semantic": label.astype(np.int32)}

    def prepare(
        self,
        transform: Callable[[Sample, np.random.Generator], Sample] | None,
        normalization: Normalization,
        seed: int = 0,
        cache: SampleCache | None = None,
    ) -> None:
        """Set what happens between disk and batch.

        Args:
            transform: Augmentation, or None for none.
            normalization: From pixel values to the network's.
            seed: Random numbers of a sample come from (seed, epoch, index) alone.
            cache: Keeps what `read` gives, or None.
        """
        self.transform, self.normalization, self.seed = transform, normalization, seed
        self.cache = cache

    def border(self) -> dict[str, Any]:
        """Fill values for what lies outside an image."""
        return {name: ignored_label(name, self.ignore_index) for name in self.targets}

    def load(self, entry: Entry) -> Sample:
        """The sample as `read` gives it, from the cache where there is one."""
        return self.cache.get(entry, self.read) if self.cache else self.read(entry)

    def sample(self, key: int | tuple[int, int]) -> Sample:
        """The augmented sample before it becomes tensors; key is an index or (epoch, index)."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        entry = self.entries[index]
        sample = self.load(entry)
        sample.meta["size"] = sample.image.shape[:2]
        sample.normalization = self.normalization.of(sample.image)
        if self.transform is not None:
            scale = np.iinfo(sample.image.dtype).max
            sample.border = {**self.border(), "image": sample.normalization.fill(scale)}
            rng = np.random.default_rng((self.seed, epoch, index))
            sample = self.transform(sample, rng)
        return sample

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        """`{"image" (C,H,W) float32, "target" (H,W) int64 or a dict of them, "name", "meta"}`.

        "image2", a second view of the same form, is there where a SecondView makes one.
        """
        sample = self.sample(key)
        maps = {
            name: torch.from_numpy(label.astype(np.int64)) for name, label in sample.maps.items()
        }
        normalize = sample.normalization
        item = {"image": normalize(sample.image), "name": sample.name, "meta": sample.meta}
        if sample.image2 is not None:
            item["image2"] = normalize(sample.image2)
        if maps:
            item["target"] = maps if len(maps) > 1 else next(iter(maps.values()))
        return item

    def __len__(self) -> int:
        return len(self.entries)


def require_one_size(entry: Entry, image: np.ndarray, label: np.ndarray) -> None:
    """Refuse an image (H, W, C) and a label map (H, W) that differ in size.

    Raises:
        UserError: Naming both files.
    """
    if label.shape == image.shape[:2]:
        return
    turned = label.shape == image.shape[1::-1] and is_turned(entry.image)
    raise UserError(
        f"{entry.image} is {size_of(image)}{' (its EXIF tag turns it)' if turned else ''}, its "
        f"label {entry.label} {size_of(label)}; they must be of one size"
    )


def size_of(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
