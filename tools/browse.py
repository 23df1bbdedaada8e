"""Draw the batches of a config as the model sees them: augmented images, labels, second views.

python tools/browse.py -c CONFIG
"""

from __future__ import annotations

import argparse
import logging
import sys
from itertools import chain, islice
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402, F401 - registers everything a config may name
from base.base_dataloader import EpochSampler  # noqa: E402
from base.base_dataset import BaseDataset  # noqa: E402
from dataloaders import make_dataset, make_loader  # noqa: E402
from utils.command import at_least, import_packages, run  # noqa: E402
from utils.config import read_config  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.image_io import write_png  # noqa: E402
from utils.seed import require_seed  # noqa: E402
from utils.targets import pick  # noqa: E402
from utils.visualize import contact_sheet, draw_labels  # noqa: E402

log = logging.getLogger("segforge")

CELL, ACROSS = 240, 6  # width of a picture in pixels, pictures beside each other


def first_keys(order: EpochSampler, epoch: int, count: int) -> list[tuple[int, int]]:
    """(epoch, index) of the first samples of an epoch, in the order of its batches."""
    order.epoch = epoch
    return list(islice(chain.from_iterable(order), count))


def keys_of_one(dataset: BaseDataset, name: str, epoch: int, count: int) -> list[tuple[int, int]]:
    """(epoch, index) of one sample at successive epochs.

    Raises:
        UserError: If no sample has that name.
    """
    names = [entry.name for entry in dataset.entries]
    if name not in names:
        raise UserError(f"--repeat {name}: no sample has that name; the first is {names[0]!r}")
    return [(epoch + step, names.index(name)) for step in range(count)]


def row(dataset: BaseDataset, key: tuple[int, int]) -> dict[str, np.ndarray]:
    """The pictures of one sample by title, (H, W, 3) uint8."""
    item = dataset[key]
    pictures = {"image": dataset.normalization.undo(item["image"])}
    if "image2" in item:
        pictures["second view"] = dataset.normalization.undo(item["image2"])
    for target in dataset.targets if "target" in item else ():
        labels = pick(item["target"], target).numpy()
        title = {"semantic": "classes", "instance": "objects"}[target]
        pictures[title] = draw_labels(labels, target, dataset.palette)
    return pictures


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    config = read_config(args.config, args.set)
    section, seed = config[f"{args.split}_loader"], config["seed"]
    if section is None:
        raise UserError(f"{args.config} has no {args.split}_loader")
    require_seed(seed)
    training = args.split == "train"
    transforms = config["transforms"] if training else None
    dataset = make_dataset(section, config["ignore_index"], transforms, training, seed=seed)
    if args.repeat is None:
        idle = {**section, "args": {**section.get("args", {}), "num_workers": 0}}
        order = make_loader(idle, dataset, training, seed).order
        keys = first_keys(order, args.epoch, args.count)
        captions = [dataset.entries[index].name for _, index in keys]
    else:
        keys = keys_of_one(dataset, args.repeat, args.epoch, args.count)
        captions = [f"{args.repeat}, epoch {epoch}" for epoch, _ in keys]
    rows = [row(dataset, key) for key in keys]
    pictures, titles = [[*each.values()] for each in rows], [*rows[0]]
    beside = max(ACROSS // len(titles), 1)
    write_png(args.output, contact_sheet(pictures, titles, captions, CELL, beside))
    log.info("%d samples of %s_loader drawn in %s", len(rows), args.split, args.output)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("-c", "--config", required=True, help="JSON file of the run")
    override = "override a value of the config; may be given again"
    add("--set", action="append", default=[], metavar="a.b=value", help=override)
    add("--split", default="train", choices=["train", "val", "test"], help="which loader (train)")
    add("--count", type=at_least(1), default=12, help="samples (12)")
    add("--epoch", type=at_least(0), default=0, help="pass over the data, from 0 (0)")
    repeat = "one sample at --count successive epochs, in place of the first ones of an epoch"
    add("--repeat", metavar="NAME", help=repeat)
    add("-o", "--output", type=Path, default=Path("browse.png"), help="picture (browse.png)")
    add("--import", dest="imports", action="append", default=[], metavar="PACKAGE")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
