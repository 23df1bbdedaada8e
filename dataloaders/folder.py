"""Any data set of one's own: images and label maps in folders, by pattern, or in a list file."""

from __future__ import annotations

import numpy as np

from base.base_dataset import DATASETS, BaseDataset
from dataloaders.colour_codes import codes_of, colour_of, label_codes
from dataloaders.files import find_data_dir
from dataloaders.listing import list_pairs
from dataloaders.palettes import distinct_colours
from utils.errors import UserError
from utils.sample import Entry


@DATASETS.register
class Folder(BaseDataset):
    """Images with index, palette, colour or 0/255 label files of your own.

    Images and labels are paired by equal stems, or by the lines of a list file. In `images`,
    `labels` and `list`, `{split}` stands for the split.

    Args:
        data_dir: Folder of the data set.
        classes: Class names by id.
        split: Part of the data set: with the default `images` and `labels`, `<split>/images` or
            `images/<split>`; without it, `images`.
        images: Folder of the images, or a pattern such as "*/{split}/*_image.png", below data_dir.
        labels: Likewise for the label files; with patterns, what the stars stand for pairs the two.
        list: Text file below data_dir, an image path and a label path a line, in place of folders;
            a tab stands between them where one has a space.
        colors: RGB of each class name, where label files hold colours: {"road": [128, 64, 128]}.
            The name "ignore" may list a colour to ignore.
        remap: New id of a stored value, applied first: {"255": 1} for 0/255 masks; "ignore" as the
            new id ignores the value.
        palette: RGB of each class by id, for pictures; `colors`, or easily told ones, without it.
        channels: Channels of an image: 3, 1 for grey, or what the files hold; 8 or 16 bit.
        ignore_index: Label that counts for nothing.
    Raises:
        ValueError: If names or numbers of classes, colors and palette do not fit together.
    """

    def __init__(
        self,
        data_dir: str,
        classes: list[str],
        split: str | None = None,
        images: str = "images",
        labels: str = "labels",
        list: str | None = None,
        colors: dict[str, tuple[int, int, int]] | None = None,
        remap: dict[str, int | str] | None = None,
        palette: list[tuple[int, int, int]] | None = None,
        channels: int = 3,
        ignore_index: int = 255,
    ):
        self.classes, self.channels = [*classes], channels
        self.images, self.labels, self.list = images, labels, list
        if len(set(classes)) != len(classes) or not classes:
            raise ValueError("classes must be a list of different names")
        self.colors = check_colors(colors, classes)
        self.remap = check_remap(remap, ignore_index)
        drawn = (
            [self.colors[name] for name in classes] if colors else distinct_colours(len(classes))
        )
        self.palette = [[*colour] for colour in palette or drawn]
        if len(self.palette) != len(classes):
            raise ValueError(f"palette has {len(self.palette)} colours for {len(classes)} classes")
        check_rgb(self.palette, "palette")
        super().__init__(data_dir, split, ignore_index)
        self.codes, self.values = self._colour_table()

    def list_entries(self) -> list[Entry]:
        folder = find_data_dir(self.data_dir)
        return list_pairs(folder, self.split, self.images, self.labels, self.list)

    def decode(self, label: np.ndarray, entry: Entry) -> dict[str, np.ndarray]:
        ids = (
            self._from_colours(label, entry)
            if self.colors
            else super().decode(label, entry)["semantic"]
        )
        if self.remap:
            found = ids.copy()
            for value, new in self.remap.items():
                found[ids == value] = new
            ids = found
        return {"semantic": ids}

    def _colour_table(self) -> tuple[np.ndarray, np.ndarray]:
        ids = {name: i for i, name in enumerate(self.classes)} | {"ignore": self.ignore_index}
        pairs = sorted(
            (int(codes_of(np.array(colour))), ids[name]) for name, colour in self.colors.items()
        )
        codes, values = zip(*pairs, strict=True) if pairs else ((), ())
        return np.array(codes, np.int32), np.array(values, np.int32)

    def _from_colours(self, label: np.ndarray, entry: Entry) -> np.ndarray:
        if label.ndim != 3:
            raise UserError(f'{entry.label} holds ids, not colours; leave "colors" out')
        code = label_codes(label, entry.label)
        place = np.searchsorted(self.codes, code).clip(max=len(self.codes) - 1)
        unknown = self.codes[place] != code
        if unknown.any():
            stray = int(code[unknown][0])
            raise UserError(
                f"{entry.label} holds the colour {colour_of(stray)} ({int((code == stray).sum())} "
                'pixels), which is not in "colors"'
            )
        return self.values[place]


def check_colors(colors: dict | None, classes: list[str]) -> dict[str, tuple[int, int, int]]:
    if not colors:
        return {}
    unknown = [name for name in colors if name not in (*classes, "ignore")]
    missing = [name for name in classes if name not in colors]
    if unknown or missing:
        raise ValueError(
            f"colors names {unknown[0]!r}, which is not in classes"
            if unknown
            else f"colors has no colour for the class {missing[0]!r}"
        )
    values = [
        *(colors[name] for name in classes),
        *([colors["ignore"]] if "ignore" in colors else []),
    ]
    if len({tuple(value) for value in values}) != len(values):
        raise ValueError("colors gives two classes one colour")
    check_rgb(values, "colors")
    return colors


def check_rgb(values: list, key: str) -> None:
    wrong = [
        [*value] for value in values if len(value) != 3 or not all(0 <= v < 256 for v in value)
    ]
    if wrong:
        raise ValueError(f"{key} holds {wrong[0]}; a colour is three numbers from 0 to 255")


def check_remap(remap: dict | None, ignore_index: int) -> dict[int, int]:
    try:
        return {
            int(value): ignore_index if new == "ignore" else int(new)
            for value, new in (remap or {}).items()
        }
    except ValueError:
        raise ValueError(
            f'remap is {remap}; give stored values and new ids, such as {{"255": 1, "7": "ignore"}}'
        ) from None
