"""Pictures of what was found: image, labels and both, the worst samples first."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from base.base_dataset import BaseDataset
from dataloaders.survey.faults import Fault, strays
from dataloaders.survey.look import Look
from utils.errors import UserError
from utils.image_io import read_image, read_label
from utils.sample import Entry
from utils.visualize import colorize, draw_labels, write

WIDTH = 400
STRAY = (255, 0, 255)
GREY = (225, 228, 232)
BLANK_WIDTH = 320
EMPTY = (3, 4)  # height and width, up to a factor, in place of an image that cannot be read


class Exhibit(NamedTuple):
    """A sample with what is to be said of it, and its pictures (H, W, 3) uint8."""

    caption: str
    pictures: list[np.ndarray]


def titles(dataset: BaseDataset) -> list[str]:
    """Of the pictures of an exhibit."""
    names = {"semantic": "classes", "instance": "objects"}
    return ["image", *(names[target] for target in dataset.targets), "overlay"]


def exhibits(
    dataset: BaseDataset, looks: list[Look], faults: list[Fault], count: int
) -> list[Exhibit]:
    """The samples with faults, the worst first, then evenly spaced ones, up to a number."""
    said: dict[str, str] = {}
    for fault in faults:
        if fault.sample is not None:
            said.setdefault(fault.sample, fault.text)
    bad = [look for look in looks if look.entry.name in said]
    bad.sort(key=lambda look: badness(dataset, look), reverse=True)
    good = [look for look in looks if look.entry.name not in said]
    spaced = np.linspace(0, len(good) - 1, min(max(count - len(bad), 0), len(good)))
    chosen = bad[:count] + [good[i] for i in spaced.round().astype(int)]
    return [
        Exhibit(said.get(look.entry.name, look.entry.name), draw(dataset, look.entry))
        for look in chosen
    ]


def badness(dataset: BaseDataset, look: Look) -> float:
    """The share of wrong pixels; 2 where none can be read."""
    if look.problem:
        return 2.0
    return sum(strays(dataset, look).values()) / max(sum(look.values.values()), 1)


def draw(dataset: BaseDataset, entry: Entry) -> list[np.ndarray]:
    """Image, label maps and overlay; of a sample that cannot be read what of it can."""
    try:
        sample = dataset.read(entry)
    except UserError:
        return draw_files(dataset, entry)
    image = shrunk(as_rgb(sample.image))
    maps = [draw_map(dataset, sample.maps[t], t) for t in dataset.targets if t in sample.maps]
    maps = [shrunk(each, cv2.INTER_NEAREST) for each in maps]
    if len(maps) < len(dataset.targets):
        return [image, *[blank("no label", image.shape)] * (len(dataset.targets) + 1)]
    return [image, *maps, blend(image, maps[-1])]


def draw_files(dataset: BaseDataset, entry: Entry) -> list[np.ndarray]:
    """Image and label file, each by itself."""
    try:
        image = shrunk(as_rgb(read_image(entry.image, dataset.channels)))
    except UserError:
        image = blank("cannot be read")
    try:
        stored = read_label(entry.label)
        label = stored if stored.ndim == 3 else draw_map(dataset, stored, dataset.targets[0])
        label = shrunk(label.astype(np.uint8), cv2.INTER_NEAREST)
    except UserError:
        label = blank("cannot be read", image.shape)
    return [image, *[label] * len(dataset.targets), blank("no overlay", image.shape)]


def draw_map(dataset: BaseDataset, labels: np.ndarray, target: str) -> np.ndarray:
    """A label map (H, W) in colours; values that are no class magenta, ignored ones white."""
    if target == "instance":
        return draw_labels(labels.astype(np.int32), target, dataset.palette)
    picture = colorize(labels, dataset.palette)
    known = [dataset.ignore_index, *range(len(dataset.classes))]
    picture[~np.isin(labels, known)] = STRAY
    return picture


def blend(image: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Image and label colours, half and half; where the colours are black the image alone."""
    mixed = cv2.addWeighted(image, 0.5, colours, 0.5, 0)
    return np.where(colours.any(axis=2, keepdims=True), mixed, image)


def blank(text: str, shape: tuple[int, ...] = EMPTY) -> np.ndarray:
    """A grey picture, of the proportions of `shape`, that says why there is none."""
    height = max(round(BLANK_WIDTH * shape[0] / shape[1]), 1)
    picture = np.full((height, BLANK_WIDTH, 3), GREY, np.uint8)
    write(picture, text, ((BLANK_WIDTH - 8 * len(text)) // 2, height // 2))
    return picture


def as_rgb(image: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8 or uint16 as (H, W, 3) uint8; 16 bit stretched to what is there."""
    if image.dtype == np.uint16:
        image = (image / max(int(image.max()), 1) * 255).astype(np.uint8)
    return image if image.shape[2] == 3 else np.repeat(image[:, :, :1], 3, axis=2)


def shrunk(picture: np.ndarray, how: int = cv2.INTER_AREA) -> np.ndarray:
    """The picture, at most WIDTH wide."""
    height, width = picture.shape[:2]
    if width <= WIDTH:
        return picture
    return cv2.resize(picture, (WIDTH, max(1, round(height * WIDTH / width))), interpolation=how)
