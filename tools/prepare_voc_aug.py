"""Make VOC's augmented labels and lists, `*_aug`, out of SBD.

SBD labels 11,355 photos of VOC. With VOC's own train list, and without what VOC's val list holds,
10,582 are for training. Where both have a label, VOC's is taken: it is drawn finer.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

from base.base_dataset import size_of  # noqa: E402
from dataloaders.files import find_below, find_data_dir, list_files  # noqa: E402
from dataloaders.mat_files import as_label_map, load_mat  # noqa: E402
from dataloaders.palettes import load_palette  # noqa: E402
from dataloaders.voc import RIM, find_voc  # noqa: E402
from utils.command import run  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.image_io import read_image, write_png  # noqa: E402
from utils.lines import read_lines  # noqa: E402

log = logging.getLogger("segforge")

LABELS = "SegmentationClassAug"


def main(args: argparse.Namespace) -> None:
    """Write `SegmentationClassAug` and the lists `*_aug.txt`, both or neither."""
    root = find_voc(find_data_dir(args.data_dir))
    if not args.sbd.is_dir():
        raise UserError(f"--sbd: there is no folder {args.sbd}")
    source = find_below(args.sbd, "cls")
    lists = root / "ImageSets" / "Segmentation"
    names = {split: read_lines(lists / f"{split}.txt") for split in ("train", "val")}
    theirs = list_files(source, ".mat")
    ours = list_files(root / "SegmentationClass", ".png")
    written = [root / LABELS, *(lists / f"{split}.txt" for split in aug_lists([], []))]
    taken = next((path for path in written if path.exists()), None)
    if taken:
        raise UserError(f"{taken} is there already; move it away to make it anew")
    if not theirs:
        raise UserError(f"{source} holds no .mat file; --sbd is SBD's folder dataset")
    need_images(root, theirs)

    train = sorted({*names["train"], *theirs} - {*names["val"]})
    with tempfile.TemporaryDirectory(prefix=".voc_aug-", dir=root) as scratch:
        labels = Path(scratch) / LABELS
        photos = root / "JPEGImages"
        copy_all(theirs, labels, "convert", partial(convert, photos=photos))
        own = {n: ours[n] for n in (*names["train"], *names["val"]) if n in ours}
        copy_all(own, labels, "copy", shutil.copyfile)
        missing = [n for n in (*train, *names["val"]) if not (labels / f"{n}.png").is_file()]
        if missing:
            raise UserError(f"{missing[0]} is listed and has no label in {root} or {source}")
        for split, chosen in aug_lists(train, names["val"]).items():
            lines = [f"/JPEGImages/{name}.jpg /{LABELS}/{name}.png\n" for name in chosen]
            (Path(scratch) / f"{split}.txt").write_text("".join(lines))
        for path in written:
            os.rename(Path(scratch) / path.name, path)
    log.info("%d images for training, %d for validation in %s", len(train), len(names["val"]), root)


def aug_lists(train: list[str], val: list[str]) -> dict[str, list[str]]:
    return {"train_aug": train, "val_aug": val, "trainval_aug": sorted({*train, *val})}


def need_images(root: Path, labels: dict[str, Path]) -> None:
    photos = list_files(root / "JPEGImages", ".jpg")
    missing = [path for name, path in labels.items() if name not in photos]
    if missing:
        raise UserError(f"{missing[0]} has no photo in {root / 'JPEGImages'}")


def copy_all(
    files: dict[str, Path], target: Path, title: str, copy_one: Callable[[Path, Path], Any]
) -> None:
    target.mkdir(exist_ok=True)
    for name, path in tqdm(files.items(), desc=title, unit="img", disable=None):
        copy_one(path, target / f"{name}.png")


def convert(source: Path, target: Path, photos: Path) -> None:
    """SBD's `GTcls.Segmentation` as a palette PNG.

    Raises:
        UserError: If the file holds none, or other labels or another size than its photo's.
    """
    content = load_mat(source)
    try:
        label = content["GTcls"]["Segmentation"][0, 0]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise UserError(f"{source} holds no GTcls.Segmentation; is it a file of SBD?") from error
    label = as_label_map(label, source)
    classes, palette = load_palette("voc")
    stray = label[(label < 0) | (label >= len(classes)) & (label != RIM)]
    if stray.size:
        raise UserError(
            f"{source} holds the label {stray[0]}; the classes are 0 to {len(classes) - 1}, "
            f"and {RIM} is ignored"
        )
    photo = photos / f"{source.stem}.jpg"
    size = size_of(read_image(photo))
    if size_of(label) != size:
        raise UserError(f"{source} is {size_of(label)}, its photo {photo} {size}")
    write_png(target, label.astype(np.uint8), palette)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data-dir", required=True, help="folder that holds VOCdevkit/VOC2012 or VOC2012")
    add(
        "--sbd",
        required=True,
        type=Path,
        help="folder that holds cls, as benchmark_RELEASE/dataset does",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
