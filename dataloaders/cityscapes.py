"""Cityscapes, fine and coarse, for classes and for objects.

Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, 2016
(arXiv:1604.01685).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from base.base_dataset import DATASETS, BaseDataset
from dataloaders.cityscapes_classes import (
    SAMPLED_GROUP,
    chosen_things,
    class_list,
    class_table,
    instance_table,
)
from dataloaders.files import find_below, find_data_dir, list_files, names_in, pair
from utils.errors import UserError
from utils.lines import read_lines
from utils.registry import suggest
from utils.sample import Entry, Sample
from utils.targets import INSTANCE_IGNORE

ANNOTATIONS = {"fine": "gtFine", "coarse": "gtCoarse"}
IMAGE = "_leftImg8bit.png"
SPLITS = {"fine": ("train", "val", "test"), "coarse": ("train", "val", "train_extra")}


@DATASETS.register
class Cityscapes(BaseDataset):
    """Streets of 50 cities, 1024x2048, with classes, categories or objects as the target.

    `leftImg8bit/<split>/<city>` holds the images, `gtFine` or `gtCoarse` likewise the labels;
    `labelIds` are read for classes and the 16-bit `instanceIds` where objects are asked for, so
    nothing has to be prepared. Each may lie one folder deeper, as its archive is called.

    In the instance target a thing keeps the number of the file, id * 1000 + n; a group of objects
    that nobody told apart is ignored, everything else is 0. With `instance_ratio` the files are
    those of SPOCO's sampler, `gtFine/<split>/<city>/<things>/<ratio>`, for the images of its list
    `leftImg8bit/<split>/<things>_<ratio>.txt`; in the others every pixel is 0, unlabelled.

    Args:
        data_dir: Folder of the data set.
        split: "train", "val", "test" (images without labels), or "train_extra" (coarse alone).
        mode: "fine" or "coarse".
        classes: 19 for those that are scored, 20 with "unlabeled" as one more, 8 for the
            categories, 7 without "void"; or names of labels: they come first, "rest" is the last
            class, labels that are not scored are ignored unless named. One name is class 1 and
            the rest 0.
        val_cities: Cities of the training images that are "val" in place of the official ones, and
            not "train": ["ulm", "bremen", "aachen"].
        target: "semantic", "instance" or "both".
        things: "all" that are scored, a name, or a list of names: the objects of the instance
            target.
        instance_ratio: Share of the objects that was kept by `tools/sample_instances.py`, above 0
            to 1; for the target "instance" with `things` "all" or one name.
        keep_empty: With an instance_ratio, keep the images of which the sample has no object;
            without, the images are those of the list, as in the published code.
        ignore_index: Label of what has no class.
    Raises:
        ValueError: If names are unknown, or arguments do not go together.
    """

    mean = [0.28689529, 0.32513294, 0.28389176]
    std = [0.17613647, 0.18099176, 0.17772235]

    def __init__(
        self,
        data_dir: str,
        split: Literal["train", "val", "test", "train_extra"] = "train",
        mode: Literal["fine", "coarse"] = "fine",
        classes: Literal[19, 20, 8, 7] | list[str] = 19,
        val_cities: list[str] | None = None,
        target: Literal["semantic", "instance", "both"] = "semantic",
        things: str | list[str] = "all",
        instance_ratio: float | None = None,
        keep_empty: bool = True,
        ignore_index: int = 255,
    ):
        if split not in SPLITS[mode]:
            raise ValueError(
                f"mode {mode!r} has no split {split!r}; it has {', '.join(SPLITS[mode])}"
            )
        self.classes, self.palette, ids = class_list(classes)
        self.mode, self.val_cities = mode, val_cities
        self.targets = ("semantic", "instance") if target == "both" else (target,)
        self.things, self.instance_ratio, self.keep_empty = things, instance_ratio, keep_empty
        self.tables = {
            "semantic": class_table(ids, ignore_index),
            "instance": instance_table(chosen_things(things), INSTANCE_IGNORE),
        }
        if things != "all" and target == "semantic":
            raise ValueError('things needs "target": "instance" or "both"; leave it out')
        if val_cities and split not in ("train", "val"):
            raise ValueError(f"val_cities share out train and val, not {split!r}; leave it out")
        if instance_ratio is not None:
            self._check_ratio(split)
        super().__init__(data_dir, split, ignore_index)

    def _check_ratio(self, split: str) -> None:
        if not 0 < self.instance_ratio <= 1:
            raise ValueError(f"instance_ratio is {self.instance_ratio}; give a share above 0 to 1")
        if split == "test":
            raise ValueError('instance_ratio is for labels, and "test" has none; leave it out')
        if self.targets != ("instance",) or self.mode != "fine" or not isinstance(self.things, str):
            raise ValueError(
                'instance_ratio needs "target": "instance", "mode": "fine" and things "all" or one '
                "name"
            )

    def list_entries(self) -> list[Entry]:
        root = find_data_dir(self.data_dir)
        split = "train" if self.val_cities and self.split == "val" else self.split
        folder = find_below(root, f"leftImg8bit/{split}")
        cities = self._cities(folder)
        images = files_in(folder, cities, IMAGE)
        if self.split == "test":
            return [Entry(name, path) for name, path in images.items()]
        annotation = ANNOTATIONS[self.mode]
        labels = find_below(root, f"{annotation}/{split}")
        if self.instance_ratio is not None:
            found = files_in(labels, cities, "_gtFine_instanceIds.png", self._place())
            return self._list_sample(folder, images, found)
        kind = "labelIds" if self.targets == ("semantic",) else "instanceIds"
        return pair(images, files_in(labels, cities, f"_{annotation}_{kind}.png"))

    def _cities(self, folder: Path) -> list[str]:
        found = [name for name in sorted(names_in(folder)) if (folder / name).is_dir()]
        if not self.val_cities or self.split not in ("train", "val"):
            return found
        unknown = [city for city in self.val_cities if city not in found]
        if unknown:
            raise UserError(
                f"val_cities: there is no city {unknown[0]!r} in {folder}; "
                + suggest(unknown[0], found)
            )
        return [city for city in found if (city in self.val_cities) == (self.split == "val")]

    def _place(self, between: str = "/") -> str:
        return f"{self.things}{between}{float(self.instance_ratio)}"

    def _list_sample(
        self, folder: Path, images: dict[str, Path], found: dict[str, Path]
    ) -> list[Entry]:
        """The listed images with their files, and the others without one."""
        listed = self._sampled(folder)
        gone = sorted(name for name in listed & images.keys() if name not in found)
        if gone:
            raise UserError(
                f"{folder / self._place('_')}.txt lists {len(listed)} images, and the sample "
                f"{self._place()} has no file of {len(gone)} of them, such as {gone[0]}{IMAGE}; "
                f"write it anew with {self._command(folder.name)}"
            )
        entries = pair(*({n: p for n, p in x.items() if n in listed} for x in (images, found)))
        if self.keep_empty:
            entries += [Entry(name, images[name]) for name in images.keys() - listed]
        return sorted(entries)

    def _sampled(self, folder: Path) -> set[str]:
        """Names of the images that hold an object of the sample."""
        index = folder / f"{self._place('_')}.txt"  # the sampler writes it last
        if index.is_file():
            lines = read_lines(index)
            if not lines:
                raise UserError(
                    f"{index} is empty: the sample {self._place()} has no object; choose another "
                    "class, or a larger ratio"
                )
            return {Path(line).name.removesuffix(IMAGE) for line in lines}
        if folder.name == "val" and self.instance_ratio != 1:
            raise UserError(
                f'instance_ratio is {self.instance_ratio}, but "val" is sampled whole, as 1.0; '
                "leave instance_ratio out there"
            )
        raise UserError(
            f"{folder} has no sample {self._place()}, whose list is {index.name}; make it with "
            + self._command(folder.name)
        )

    def _command(self, split: str) -> str:
        """What writes the sample."""
        chosen = "" if self.things == "all" else f" --classes {self.things}"
        return (
            f"python tools/sample_instances.py cityscapes --data-dir {self.data_dir}{chosen} "
            f"--ratios {self.instance_ratio} --splits {split}"
        )

    def read(self, entry: Entry) -> Sample:
        sample = super().read(entry)
        if self.instance_ratio is not None and entry.label is None:
            sample.maps["instance"] = np.zeros(sample.image.shape[:2], np.int32)
        return sample

    def decode(self, label: np.ndarray, entry: Entry) -> dict[str, np.ndarray]:
        values = super().decode(label, entry)["semantic"]
        if self.instance_ratio is not None:
            return {"instance": np.where(values == SAMPLED_GROUP, INSTANCE_IGNORE, values)}
        return {name: self.tables[name][values] for name in self.targets}


def files_in(folder: Path, cities: list[str], ending: str, below: str = "") -> dict[str, Path]:
    """Files of all cities by name without the ending; file names start with the city's."""
    found: dict[str, Path] = {}
    for city in cities:
        place = folder / city / below
        if place.is_dir():
            found |= list_files(place, ending)
    return found


DATASETS.alias("CityScapes", "Cityscapes")
