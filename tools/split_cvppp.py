"""Split the official CVPPP folder, A1 to A4 with labelled plants, into train and val."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from dataloaders.cvppp import list_plants  # noqa: E402
from dataloaders.held_out import held_out  # noqa: E402
from utils.command import run  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.sample import Entry  # noqa: E402
from utils.whole import link_or_copy, whole_folder  # noqa: E402

log = logging.getLogger("segforge")

SUBSETS = ("A1", "A2", "A3", "A4")
SPLITS = ["train", "val"]


def main(args: argparse.Namespace) -> None:
    if not 0 < args.val < 1:
        raise UserError(f"--val is {args.val}; give a share between 0 and 1")
    if args.seed < 0:
        raise UserError(f"--seed is {args.seed}; give a whole number from zero up")
    subsets = [args.source / name for name in SUBSETS if (args.source / name).is_dir()]
    if not subsets:
        raise UserError(f"{args.source} holds none of the folders {', '.join(SUBSETS)}")
    plants = {folder.name: list_plants(folder) for folder in subsets}
    empty = [name for name, entries in plants.items() if len(entries) < 2]
    if empty:
        raise UserError(f"{args.source / empty[0]} has fewer than two labelled plants to split")
    output = args.output or args.source
    with whole_folder(output, SPLITS) as part:
        for subset, entries in plants.items():
            for split in SPLITS:
                chosen = held_out(entries, split, args.val, args.seed)
                for entry in chosen:
                    put(entry, part / split / subset)
                log.info("%s %s: %d plants", subset, split, len(chosen))
    log.info("in %s", output)


def put(entry: Entry, folder: Path) -> None:
    """Every file of a plant, its foreground and others too, into a folder."""
    plant = entry.image.name.removesuffix("rgb.png")
    for path in sorted(entry.image.parent.glob(f"{plant}*")):
        link_or_copy(path, folder / path.name)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Files are linked, not copied, where the disk allows it; nothing is overwritten.",
    )
    add = parser.add_argument
    add("source", type=Path, help="folder that holds A1, A2, A3 or A4")
    add("-o", "--output", type=Path, help="where train and val go (the source folder)")
    add("--val", type=float, default=0.2, help="share of the plants of each subset for val (0.2)")
    add("--seed", type=int, default=0, help="which plants these are follows from it (0)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
