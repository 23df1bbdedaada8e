"""Small copies of the official layouts of instance data, written to disk."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from utils.image_io import write_png

HEIGHTS = list(range(20, 60, 5))


def picture(height=40, width=48, channels=3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def blocks(count=6, height=40, width=48) -> np.ndarray:
    """(height, width) uint8: `count` objects, 1 to count, as columns 6 wide with gaps of 2."""
    ids = np.zeros((height, width), np.uint8)
    for number in range(1, count + 1):
        ids[4:36, 8 * (number - 1) : 8 * number - 2] = number
    return ids


def write_plant(folder: Path, name: str, label: np.ndarray | None = None) -> None:
    """The three files of a CVPPP plant; the label is a palette PNG unless one is given."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(channels=4), "RGBA").save(folder / f"{name}_rgb.png")
    palette = [[0, 0, 0], *np.random.default_rng(2).integers(1, 256, (20, 3)).tolist()]
    if label is None:
        write_png(folder / f"{name}_label.png", blocks(), palette)
    else:
        write_png(folder / f"{name}_label.png", label)
    write_png(folder / f"{name}_fg.png", (blocks() > 0).astype(np.uint8))


def make_cvppp(root: Path, split: str | None = "train", subset: str = "A1", count: int = 3) -> Path:
    for number in range(count):
        write_plant(root / (split or "") / subset, f"plant{number:03d}")
    return root


def make_dsb(root: Path, count: int = 3, name: str = "stage1_train") -> Path:
    """The official layout: an image of three nuclei a folder."""
    for number in range(count):
        folder = root / name / f"id{number}"
        write_png(folder / "images" / f"id{number}.png", picture())
        for nucleus in (1, 2, 3):
            mask = (blocks() == nucleus).astype(np.uint8) * 255
            write_png(folder / "masks" / f"{nucleus}.png", mask)
    return root


def lane_line(raw_file: str, lanes: list[list[int]]) -> str:
    return json.dumps({"lanes": lanes, "h_samples": HEIGHTS, "raw_file": raw_file})


def make_tusimple(root: Path, dates=("0313", "0531", "0601"), frames: int = 2, lanes=None) -> Path:
    """The official layout: a JSON file a date, two vertical lanes in every frame."""
    lanes = lanes or [[10] * len(HEIGHTS), [-2, -2, *[30] * (len(HEIGHTS) - 2)]]
    for date in dates:
        lines = []
        for number in range(frames):
            raw_file = f"clips/{date}/{number}/20.jpg"
            (root / raw_file).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / raw_file), picture(64, 48))
            lines.append(lane_line(raw_file, lanes))
        (root / f"label_data_{date}.json").write_text("\n".join(lines) + "\n")
    return root


def make_folder(root: Path, label: np.ndarray | None = None, count: int = 3) -> Path:
    """images/ and labels/ of the data set FolderInstances."""
    for number in range(count):
        write_png(root / "images" / f"{number}.png", picture())
        write_png(root / "labels" / f"{number}.png", blocks() if label is None else label)
    return root
