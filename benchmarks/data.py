"""Time our augmentation against albumentations' and torchvision's, and our loader from disk.

    pip install -r benchmarks/requirements.txt
    python benchmarks/data.py [--parts memory disk workers] [--data ../shared/data/cityscapes_mini]
    python benchmarks/data.py --picture shrinking.png

memory: random scale 0.5 to 2, rotation up to 10 degrees, padding, crop 512, flip, blur at half of
the images, normalise, on a 1024x2048 image in memory with its labels, one thread. Images alternate
between the ways in one process, and the time of its processor counts, so that other processes
disturb little. Printed: images a second, our ratio to each (above 1: ours is faster) with its
spread over rounds, and the floor: the bytes that a crop reads and its tensors take, at the rate of
a large copy measured here.

disk: the same recipe on Cityscapes files, without a cache and with one that is filled.

workers: the memory that the workers of a loader hold for themselves (unique set size, from /proc)
after each pass over generated entries (four, or --passes), as we keep them and as a list of
objects.

--picture writes a picture of one shrinking three ways: ours, resize then rotate, a bare warp.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from base.base_dataloader import BaseDataLoader  # noqa: E402
from base.base_dataset import BaseDataset  # noqa: E402
from benchmarks.augmenting import CROP, WAYS, example, recipe  # noqa: E402
from benchmarks.measuring import copy_bandwidth  # noqa: E402
from dataloaders.transforms.warp import (  # noqa: E402
    about,
    pixel_matrix,
    stretch,
    turn,
    warp_image,
)
from utils.cache import SampleCache  # noqa: E402
from utils.image_io import write_png  # noqa: E402
from utils.normalization import Normalization  # noqa: E402
from utils.sample import Entry, Sample  # noqa: E402


def in_memory(args: argparse.Namespace) -> None:
    image, label = example()
    ways = {name: WAYS[name]() for name in args.ways}
    for way in ways.values():
        way(image, label, 0)
    rounds = []
    for number in range(args.rounds):
        spent = dict.fromkeys(ways, 0.0)
        for step in range(args.images):
            for name, way in ways.items():
                start = time.process_time()
                way(image, label, number * args.images + step)
                spent[name] += time.process_time() - start
        rounds.append(spent)
    rate = copy_bandwidth("cpu")
    floor = CROP * CROP * (3 + 3 * 4 + 1 + 8) / (rate / 2)
    print(f"floor {1 / floor:.0f} images/s (copies at {rate / 1e9:.1f} GB/s)")
    report(rounds, "ours", args.images)


class Files(BaseDataset):
    """Cityscapes files as they lie; labels stay what is stored."""

    classes = [str(i) for i in range(34)]
    palette = [[i, i, i] for i in range(34)]

    def list_entries(self) -> list[Entry]:
        images = sorted(Path(self.data_dir).glob("leftImg8bit/train/*/*_leftImg8bit.png"))
        labels = [
            Path(
                str(image)
                .replace("_leftImg8bit", "_gtFine_labelIds")
                .replace("leftImg8bit", "gtFine")
            )
            for image in images
        ]
        return [Entry(i.stem, i, label) for i, label in zip(images, labels, strict=True)]


def from_disk(args: argparse.Namespace) -> None:
    folder = Path(tempfile.mkdtemp(prefix="segforge-benchmark-"))
    try:
        data = {kind: Files(args.data, "train") for kind in ("none", "disk")}
        for kind, dataset in data.items():
            cache = SampleCache(folder) if kind == "disk" else None
            dataset.prepare(recipe(), Normalization(), cache=cache)
            for index in range(len(dataset)):
                dataset[index]  # fills the cache, and that of the operating system
        rounds = []
        for number in range(args.rounds):
            spent = {}
            for kind, dataset in data.items():
                start = time.process_time()
                for index in range(len(dataset)):
                    dataset[(number, index)]
                spent[kind] = (time.process_time() - start) / len(dataset)
            rounds.append(spent)
        report(rounds, "disk", 1, "cache ")
    finally:
        shutil.rmtree(folder)


class Generated(BaseDataset):
    """Many entries with paths of the usual length, and nothing to read."""

    classes, palette = ["a", "b"], [[0, 0, 0], [255, 0, 0]]

    def list_entries(self) -> list[Entry]:
        names = (f"aachen_{number:06d}_000019" for number in range(20_000))
        root = Path("/data/cityscapes")
        return [
            Entry(
                name,
                root / "leftImg8bit/train/aachen" / f"{name}_leftImg8bit.png",
                root / "gtFine/train/aachen" / f"{name}_gtFine_labelIds.png",
            )
            for name in names
        ]

    def read(self, entry: Entry) -> Sample:
        labels = np.zeros((8, 8), np.int32)
        return Sample(entry.name, np.zeros((8, 8, 3), np.uint8), {"semantic": labels})


def private_bytes(pid: int) -> int:
    """Bytes that a process shares with no other."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def of_workers(args: argparse.Namespace) -> None:
    warnings.filterwarnings("ignore", "This DataLoader will create")  # more than cores: meant so
    for kind in ("arrays", "objects"):
        for workers in (1, 4, 8):
            dataset = Generated(None, "train")
            if kind == "objects":
                dataset.entries = list(dataset.entries)
            loader = BaseDataLoader(dataset, 100, shuffle=True, num_workers=workers)
            found = []
            for _ in range(args.passes):
                for _ in loader:
                    pass
                held = [private_bytes(child.pid) for child in multiprocessing.active_children()]
                found.append(f"{sum(held) / len(held) / 2**20:.1f}")
            print(f"{kind}, {workers} workers: {' then '.join(found)} MB each", flush=True)
            del loader


def report(rounds: list[dict[str, float]], base: str, images: int, prefix: str = "") -> None:
    """Images a second, and each way's time over that of `base`."""
    for name in rounds[0]:
        speed = images / statistics.median(r[name] for r in rounds)
        ratios = [r[name] / r[base] for r in rounds]
        spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
        ratio = f"{base} is {statistics.median(ratios):.1f} times as fast ({spread})"
        print(f"{prefix}{name}: {speed:.1f} images/s" + ("" if name == base else f", {ratio}"))


def picture(path: Path) -> None:
    """Rings that grow finer, at 0.4 of their size and turned by 7 degrees, three ways."""
    side, small = 1000, 400
    y, x = np.indices((side, side)) - side / 2
    rings = np.uint8(127.5 + 127.5 * np.cos(np.pi * (x**2 + y**2) / side))
    image = np.repeat(rings[:, :, None], 3, axis=2)
    rotation = about(small / 2, small / 2, turn(7))
    matrix = rotation @ stretch(small / side, small / side)
    reduced = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    ways = [
        warp_image(image, matrix, (small, small), [0.0]),
        cv2.warpAffine(reduced, pixel_matrix(rotation), (small, small)),
        cv2.warpAffine(image, pixel_matrix(matrix), (small, small)),
    ]
    write_png(path, np.hstack(ways))
    print(f"{path}: ours, resized by area then rotated, a bare warp")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    add("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    add("--images", type=int, default=20, help="in a round")
    add("--rounds", type=int, default=7)
    add("--passes", type=int, default=4, help="of the workers over their entries")
    add("--data", default="../shared/data/cityscapes_mini", help="Cityscapes' root folder")
    add("--picture", type=Path, help="write the picture and do nothing else")
    return parser.parse_args()


PARTS = {"memory": in_memory, "disk": from_disk, "workers": of_workers}

if __name__ == "__main__":
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    arguments = parse()
    if arguments.picture:
        picture(arguments.picture)
        raise SystemExit
    print(f"{platform.machine()}, one thread, torch {torch.__version__}, OpenCV {cv2.__version__}")
    for part in arguments.parts:
        print(f"\n{part}")
        PARTS[part](arguments)
