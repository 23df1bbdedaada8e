"""Data sets made of others: several as one, or one several times an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
from torch.utils.data import ConcatDataset

from base.base_dataset import DATASETS, BaseDataset
from utils.cache import SampleCache
from utils.errors import UserError
from utils.normalization import Normalization
from utils.registry import Positive
from utils.sample import Entry, Sample


class Combined(BaseDataset):
    """The entries of all parts, each named `<number of the part>/<its own name>`.

    Args:
        sections: What the parts were built from, and their places, for messages.
        parts: One or more data sets with equal classes, channels and targets.
        ignore_index: Of all of them.
    """

    def __init__(self, sections: list[dict], parts: list[BaseDataset], ignore_index: int):
        first = parts[0]
        for place, part in enumerate(parts):
            for key in ("classes", "channels", "targets"):
                one, other = getattr(first, key), getattr(part, key)
                if one != other:
                    raise ValueError(
                        f"datasets.0 and datasets.{place} differ in their {key}: "
                        f"{spelled(one)} and {spelled(other)}"
                    )
        self.classes, self.palette, self.channels = first.classes, first.palette, first.channels
        self.targets, self.unscored = first.targets, first.unscored
        if all((part.mean, part.std) == (first.mean, first.std) for part in parts):
            self.mean, self.std = first.mean, first.std
        self.sections, self.parts = sections, ConcatDataset(parts)
        folders = dict.fromkeys(part.data_dir for part in parts if part.data_dir)
        splits = dict.fromkeys(part.split for part in parts if part.split)
        super().__init__(", ".join(folders) or None, "+".join(splits) or None, ignore_index)

    def list_entries(self) -> list[Entry]:
        return [
            entry._replace(name=f"{number}/{entry.name}")
            for number, part in enumerate(self.parts.datasets)
            for entry in part.entries
        ]

    def read(self, entry: Entry) -> Sample:
        number, name = entry.name.split("/", 1)
        sample = self.parts.datasets[int(number)].load(entry._replace(name=name))
        sample.name = entry.name
        return sample

    def prepare(
        self,
        transform: Callable[[Sample, np.random.Generator], Sample] | None,
        normalization: Normalization,
        seed: int = 0,
        cache: SampleCache | None = None,
    ) -> None:
        """As of any data set; each part keeps its own samples, so those of Repeat are kept once."""
        super().prepare(transform, normalization, seed)
        for number, part in enumerate(self.parts.datasets):
            kept = cache and SampleCache(cache.folder / str(number))
            part.prepare(None, part.normalization, cache=kept)


@DATASETS.register
class Concat(Combined):
    """Several data sets as one; names get the number of the data set in front, `0/...`.

    Args:
        datasets: Sections `{"type": ..., "args": {...}}` with equal classes; what belongs to the
            loader or the augmentation stands beside `datasets`, once for all.
        ignore_index: Label of pixels that count for nothing, in all of them.
    Raises:
        ValueError: If the list is empty, the classes differ, or a section holds a loader's key.
    """

    def __init__(self, datasets: list[Annotated[dict, "dataset"]], ignore_index: int = 255):
        if not datasets:
            raise ValueError("datasets is empty; give one section or more")
        parts = [
            part_of(section, f"datasets.{place}", ignore_index)
            for place, section in enumerate(datasets)
        ]
        super().__init__(datasets, parts, ignore_index)


@DATASETS.register
class Repeat(Combined):
    """A data set several times an epoch; each time every image is augmented afresh.

    For small sets whose epochs would be too short, and inside Concat to weigh one set more.

    Args:
        dataset: Section `{"type": ..., "args": {...}}`; what belongs to the loader or the
            augmentation stands beside it.
        times: How often.
        ignore_index: Label of pixels that count for nothing.
    Raises:
        ValueError: If times is below 1, or the section holds a loader's key.
    """

    def __init__(
        self, dataset: Annotated[dict, "dataset"], times: Positive, ignore_index: int = 255
    ):
        if times < 1:
            raise ValueError(f"times is {times}; give 1 or more")
        part = part_of(dataset, "dataset", ignore_index)
        super().__init__([dataset] * times, [part] * times, ignore_index)


def part_of(section: dict, place: str, ignore_index: int) -> BaseDataset:
    """The data set of a nested section.

    Raises:
        ValueError: Starting with its place.
    """
    section = DATASETS.resolve(section)
    own, *shares = DATASETS.split(section)
    foreign = [key for share in shares for key in share]
    if foreign:
        raise ValueError(
            f"{place}.args: {foreign[0]!r} counts for the whole; put it beside "
            f"{place.partition('.')[0]!r}"
        )
    try:
        return DATASETS.build({"type": section["type"], "args": own}, ignore_index=ignore_index)
    except UserError as error:
        raise ValueError(f"{place}: {error}") from error


def split_of(section: dict) -> str | None:
    """The split of a loader section, of a combined one that of all its parts; None without one."""
    splits = {part["args"].get("split") for part in parts_of(section)}
    return splits.pop() if len(splits) == 1 else None


def parts_of(section: dict) -> list[dict]:
    """The sections that read files: those a combined one is made of, or the section itself."""
    section = DATASETS.resolve(section)
    nested = [*section["args"].get("datasets", []), section["args"].get("dataset")]
    parts = [parts_of(part) for part in nested if part]
    return sum(parts, []) or [section]


def with_args(section: dict, values: dict) -> dict:
    """A loader section with other arguments of the data set, of a combined one of all its parts."""
    section = DATASETS.resolve(section)
    args = dict(section["args"])
    if "datasets" in args:
        args["datasets"] = [with_args(part, values) for part in args["datasets"]]
    elif "dataset" in args:
        args["dataset"] = with_args(args["dataset"], values)
    else:
        args |= values
    return {**section, "args": args}


def spelled(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
