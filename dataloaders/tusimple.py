"""TuSimple lane detection: highway frames, lanes drawn from the official JSON.

The TuSimple lane challenge, 2017; the prepared layout is that of `tools/prepare_tusimple.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from base.base_dataset import DATASETS, BaseDataset, require_one_size
from dataloaders.files import (
    NoFolder,
    find_below,
    find_data_dir,
    list_images,
    names_in,
    pair,
    refuse_unpaired,
)
from dataloaders.held_out import check_held_out, held_out
from dataloaders.instance_labels import TARGETS, Target, read_ids, target_maps
from dataloaders.lane_labels import LaneFrame, draw_lanes, lane_frame, read_lane_file
from dataloaders.palettes import load_palette
from utils.errors import UserError
from utils.image_io import read_image
from utils.sample import Entry, Sample

VAL_FILE = "label_data_0531.json"


@DATASETS.register
class TuSimple(BaseDataset):
    """Lane markings on highways, 1280x720; the classes are background and lane.

    The official folder has `label_data_*.json`, `test_label.json` and `clips`, side by side or in
    `train_set` and `test_set`. Lanes are drawn in the order of the JSON, later ones on top, with
    ids from 1 up, and `meta` carries `lanes`, `h_samples` and `raw_file`. The prepared folder has
    `images` and `labels`, whose grey values are the ids, and no `meta` of lanes.

    Args:
        data_dir: The official or the prepared folder.
        split: "train" for all but `label_data_0531.json`, "val" for that file, "trainval" for all,
            "test" for `test_label.json`. The prepared folder has "trainval" alone.
        target: "semantic" for background and lane, "instance" for lane ids, or "both".
        thickness: Of a lane in pixels of the image.
        val_fraction: Share of all training frames that is "val", in place of the official file.
        split_seed: Which frames these are follows from it.
        ignore_index: Semantic label that counts for nothing; no pixel of this data set has it.
    Raises:
        ValueError: If thickness is below 1, val_fraction not a share or split_seed negative.
    """

    classes, palette = load_palette("tusimple")
    # those of hq-jiang/instance-segmentation-with-discriminative-loss-tensorflow, divided by 255
    mean, std = [0.3613, 0.4047, 0.4058], [0.1928, 0.2153, 0.2330]

    def __init__(
        self,
        data_dir: str,
        split: Literal["train", "val", "trainval", "test"] = "train",
        target: Target = "instance",
        thickness: int = 5,
        val_fraction: float | None = None,
        split_seed: int = 0,
        ignore_index: int = 255,
    ):
        if thickness < 1:
            raise ValueError(f"thickness is {thickness}; give a width in pixels, from 1 up")
        check_held_out(val_fraction, split_seed)
        self.thickness, self.val_fraction, self.split_seed = thickness, val_fraction, split_seed
        self.targets = TARGETS[target]
        super().__init__(data_dir, split, ignore_index)

    def list_entries(self) -> list[Entry]:
        folder = find_data_dir(self.data_dir)
        if self.split == "test":
            return self._list_files([lane_test_file(folder)])
        files = lane_files(folder)
        if files and self.val_fraction is None:
            return self._list_files(official_split(files, self.split))
        entries = self._list_files(files) if files else list_prepared(folder)
        if self.split == "trainval":
            return entries
        if self.val_fraction is None:
            raise UserError(
                f"{folder} is a prepared folder, which has no splits: set "
                '"val_fraction", or "split": "trainval" for all of it'
            )
        return held_out(entries, self.split, self.val_fraction, self.split_seed)

    def read(self, entry: Entry) -> Sample:
        image = read_image(entry.image)
        if entry.meta is None:
            ids, meta = read_ids(entry.label), {}
        else:
            frame = lane_frame(json.loads(entry.meta))
            ids, meta = draw_lanes(frame, image.shape[:2], self.thickness), frame.as_json()
        require_one_size(entry, image, ids)
        maps = target_maps(ids, self.targets, self.ignore_index)
        return Sample(entry.name, image, maps, meta=meta)

    def _list_files(self, files: list[Path]) -> list[Entry]:
        """An entry a frame; `meta` is its line, so that the lanes stay out of Python objects."""
        entries: dict[str, Entry] = {}
        for file, frame, image in list_frames(files):
            name = Path(frame.raw_file).with_suffix("").as_posix()
            if name in entries:
                raise UserError(
                    f"{file} lists {frame.raw_file}, which is listed before; keep one line"
                )
            entries[name] = Entry(name, image, file, meta=json.dumps(frame.as_json()))
        return [*entries.values()]


def lane_files(folder: Path) -> list[Path]:
    """The training annotations of the official folder, sorted by name."""
    folder = find_official(folder, "label_data_*.json")
    found = [*folder.glob("label_data_*.json"), *folder.glob("train_set/label_data_*.json")]
    return sorted(found, key=lambda path: path.name)


def lane_test_file(folder: Path) -> Path:
    folder = find_official(folder, "test_label.json")
    tried = [folder / "test_label.json", folder / "test_set" / "test_label.json"]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise UserError(f"there is no file {tried[0]} or {tried[1]}")
    return found


def find_official(folder: Path, files: str) -> Path:
    """The folder, or where it has no such files, beside `clips` or in `train_set` and `test_set`,
    the one folder in it that has.

    Raises:
        UserError: If there is no such folder, or several of them could be meant.
    """

    def has_them(place: Path) -> bool:
        return any(place.glob(files)) or any(place.glob(f"*_set/{files}"))

    places = [folder / name for name in sorted(names_in(folder))]
    inner = [place for place in places if place.is_dir() and has_them(place)]
    if has_them(folder) or not inner:
        return folder
    if len(inner) > 1:
        raise UserError(f"there are {inner[0]} and {inner[1]}; set data_dir to one of them")
    return inner[0]


def list_frames(files: list[Path]) -> list[tuple[Path, LaneFrame, Path]]:
    """(annotation file, frame, image) of every line.

    Raises:
        UserError: If a line cannot be read, or, as `refuse_unpaired` says it, has no image.
    """
    found = [
        (file, frame, lane_image(file, frame.raw_file))
        for file in files
        for frame in read_lane_file(file)
    ]
    refuse_unpaired(
        [
            f"{file} lists {frame.raw_file}, but there is no file {image}"
            for file, frame, image in found
            if not image.is_file()
        ]
    )
    return [line for line in found if line[2].is_file()]


def lane_image(file: Path, raw_file: str) -> Path:
    """Where the image of a line is: below the annotation file's folder, or `test_set` there."""
    tried = [file.parent / raw_file, file.parent / "test_set" / raw_file]
    return next((path for path in tried if path.is_file()), tried[0])


def official_split(files: list[Path], split: str) -> list[Path]:
    """Those of the annotation files that make a split."""
    if split == "trainval":
        return files
    chosen = [path for path in files if (path.name == VAL_FILE) == (split == "val")]
    if not chosen:
        raise UserError(
            f"split {split!r} needs {'' if split == 'val' else 'another file than '}{VAL_FILE}, "
            f'found only {", ".join(path.name for path in files)}; set "val_fraction" to hold '
            "out a part of all frames"
        )
    return chosen


def list_prepared(folder: Path) -> list[Entry]:
    try:
        images = find_below(folder, "images")
    except NoFolder as error:
        raise UserError(
            f"{folder} holds neither label_data_*.json, the official annotations of TuSimple, nor "
            "images and labels as tools/prepare_tusimple.py writes them"
        ) from error
    return pair(list_images(images), list_images(images.parent / "labels"))
