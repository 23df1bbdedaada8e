"""Keep a random share of the labelled objects, for training with a few annotations (SPOCO)."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from dataloaders.cityscapes_classes import SAMPLE_IGNORED  # noqa: E402
from dataloaders.cvppp import CVPPP  # noqa: E402
from dataloaders.files import find_data_dir  # noqa: E402
from dataloaders.instance_labels import keep_share, read_ids  # noqa: E402
from utils.command import run  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.image_io import read_label, write_png  # noqa: E402
from utils.whole import link_or_copy, whole_file, whole_folder  # noqa: E402

log = logging.getLogger("segforge")

RATIOS = [round(0.1 * i, 1) for i in range(1, 11)]
THINGS = {
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
OBJECT = 1000  # an object's number is its class id * 1000 + n, a group's the class id alone
ENDING = "_gtFine_instanceIds.png"
BLOCK = 20


def main(args: argparse.Namespace) -> None:
    wrong = [ratio for ratio in args.ratios if not 0 < ratio <= 1]
    if wrong:
        raise UserError(f"--ratios holds {wrong[0]}; give shares above 0 and up to 1")
    if args.seed < 0:
        raise UserError(f"--seed is {args.seed}; give a whole number from zero up")
    args.ratios = sorted(set(args.ratios))
    args.work(args)


def sample_cvppp(args: argparse.Namespace) -> None:
    """Write `<output>/<ratio>/train/<subset>`: images, and labels with a share of the leaves."""
    data = CVPPP(str(args.data_dir), "train", args.subset)
    with whole_folder(args.output, [str(ratio) for ratio in args.ratios]) as part:
        for entry in tqdm(data.entries, unit="img", disable=None):
            ids = read_ids(entry.label)
            numbers = np.searchsorted(np.unique(ids[ids > 0]), ids) + 1
            for ratio in args.ratios:
                kept = keep_share(ids, ratio, args.seed, entry.name) > 0
                folder = part / str(ratio) / "train" / entry.image.parent.name
                link_or_copy(entry.image, folder / entry.image.name)
                write_png(folder / entry.label.name, np.where(kept, numbers, 0).astype(np.uint16))
    for ratio in args.ratios:
        log.info("data_dir %s: %d images", args.output / str(ratio), len(data))


def sample_cityscapes(args: argparse.Namespace) -> None:
    """Write, beside the official files, those with a share of the objects, and their lists."""
    for split in args.splits:
        ratios = args.ratios if split == "train" else [1.0]
        sample_split(find_data_dir(str(args.data_dir)), split, ratios, args)


def sample_split(root: Path, split: str, ratios: list[float], args: argparse.Namespace) -> None:
    """Sample the images of a split, one in memory at a time."""
    labels, images = find(root, f"gtFine/{split}"), find(root, f"leftImg8bit/{split}")
    files = sorted(labels.glob(f"*/*{ENDING}"))
    if not files:
        raise UserError(f"{labels} holds no <city>/*{ENDING}, the official label files")
    groups = SAMPLE_IGNORED if args.groups == "ignore" else 0
    things = {name: [THINGS[name]] for name in args.classes} or {"all": [*THINGS.values()]}
    samples = [
        ThingSample(name, ids, ratios, groups, EvenDraws(args.seed, f"{split}/{name}"))
        for name, ids in things.items()
    ]
    for path in tqdm(files, desc=split, unit="img", disable=None):
        image = images / path.parent.name / path.name.replace(ENDING, "_leftImg8bit.png")
        if not image.is_file():
            raise UserError(f"{path} has no image {image}")
        values = read_label(path)
        found = np.unique(values)
        for sample in samples:
            sample.add(path, values, found, image.relative_to(root).as_posix())
    for sample in samples:
        sample.finish(images, len(files))


class ThingSample:
    """Objects of some classes, at several ratios.

    Args:
        name: Folder of the label files, "all" or a class.
        ids: Class ids of the objects.
        ratios: Shares to keep.
        group: What a group of objects becomes.
        draws: A number for each object; it is kept where that is below the ratio.
    """

    def __init__(
        self, name: str, ids: list[int], ratios: list[float], group: int, draws: EvenDraws
    ):
        self.name, self.ids, self.group, self.draws = name, ids, group, draws
        self.listed: dict[float, list[str]] = {ratio: [] for ratio in ratios}
        self.kept: Counter = Counter()

    def add(self, path: Path, values: np.ndarray, found: np.ndarray, image: str) -> None:
        """Write the samples of one label file; `found` is the sorted list of its values."""
        objects = found[np.isin(found // OBJECT, self.ids)]
        chance = self.draws.take(len(objects))
        for ratio, listed in self.listed.items():
            target = path.parent / self.name / str(ratio) / path.name
            kept = objects[chance < ratio]
            if not len(kept):
                target.unlink(missing_ok=True)  # of an earlier sample, which this one replaces
                continue
            table = np.zeros(1 << 16, np.uint16)
            table[kept], table[self.ids] = kept, self.group
            with whole_file(target) as part:
                part.write_bytes(cv2.imencode(".png", table[values])[1])
            self.kept[ratio] += len(kept)
            listed.append(image)

    def finish(self, images: Path, total: int) -> None:
        """Write the lists of images that hold an object, and say how many there are."""
        for ratio, listed in self.listed.items():
            with whole_file(images / f"{self.name}_{ratio}.txt") as part:
                part.write_text("".join(f"{line}\n" for line in listed))
            log.info(
                "%s %s %s: %d of %d objects, in %d images; %d images without are left out",
                *(images.name, self.name, ratio, self.kept[ratio], self.draws.taken),
                *(len(listed), total - len(listed)),
            )


class EvenDraws:
    """Random numbers from 0 to 1, as evenly spread as a deck of cards.

    Of every `BLOCK` in a row one lies in each `BLOCK`-th of the range, in random order; so a share
    of the objects is met nearly exactly although their number is not known beforehand, and what is
    below a small share is below a larger one.
    """

    def __init__(self, seed: int, name: str):
        self.rng = np.random.default_rng([seed, *name.encode()])
        self.ahead = np.empty(0)
        self.taken = 0

    def take(self, count: int) -> np.ndarray:
        """The next `count` numbers."""
        while len(self.ahead) < count:
            block = (self.rng.permutation(BLOCK) + self.rng.random(BLOCK)) / BLOCK
            self.ahead = np.append(self.ahead, block)
        taken, self.ahead = np.split(self.ahead, [count])
        self.taken += count
        return taken


def find(root: Path, part: str) -> Path:
    """`<root>/<part>`, or with a folder of any name between."""
    place = next((p for p in (root / part, *sorted(root.glob(f"*/{part}"))) if p.is_dir()), None)
    if place is None:
        raise UserError(f"there is no folder {root / part} or {root / '*' / part}")
    return place


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    shared = argparse.ArgumentParser(add_help=False)
    add = shared.add_argument
    add("--data-dir", type=Path, required=True, help="folder of the data set")
    ratios = "shares of the objects to keep, above 0 and up to 1 (0.1 to 1.0)"
    add("--ratios", type=float, nargs="+", default=RATIOS, metavar="R", help=ratios)
    add("--seed", type=int, default=0, help="which objects are kept follows from it (0)")

    parser = argparse.ArgumentParser(
        description=__doc__, epilog="What a smaller share keeps is among what a larger one keeps."
    )
    commands = parser.add_subparsers(required=True, metavar="cvppp|cityscapes")
    cvppp = commands.add_parser(
        "cvppp",
        parents=[shared],
        help="leaves of each training image",
        description="Write OUTPUT/RATIO/train/A1 with labels of a share of each image's leaves: "
        'the ones that "instance_ratio" and "sample_seed" choose in a config.',
    )
    cvppp.set_defaults(work=sample_cvppp)
    cvppp.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    cvppp.add_argument("--subset", default="A1", choices=["A1", "A2", "A3", "A4"], help="(A1)")
    cityscapes = commands.add_parser(
        "cityscapes",
        parents=[shared],
        help="things of all training images together",
        description="Write gtFine/SPLIT/CITY/CLASS/RATIO/*_instanceIds.png, 16 bit with the "
        "official numbers, and leftImg8bit/SPLIT/CLASS_RATIO.txt, which lists the images that "
        "hold an object. val is written whole, as ratio 1.0.",
    )
    cityscapes.set_defaults(work=sample_cityscapes)
    add = cityscapes.add_argument
    classes = "a sample of each; without them one of all things together, called all"
    add("--classes", nargs="+", default=[], choices=[*THINGS], metavar="CLASS", help=classes)
    splits = "parts of the data set (train val)"
    add("--splits", nargs="+", default=["train", "val"], choices=["train", "val"], help=splits)
    groups = "objects that nobody told apart: unlabelled, 0, or ignore, 65535 (unlabelled)"
    add("--groups", default="unlabelled", choices=["unlabelled", "ignore"], help=groups)
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
