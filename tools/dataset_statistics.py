"""Mean, deviation, class frequencies and objects of a config's training data, in one pass."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402, F401 - registers everything a config may name
from base.base_dataset import BaseDataset  # noqa: E402
from dataloaders import make_dataset  # noqa: E402
from utils.command import import_packages, run  # noqa: E402
from utils.config import read_config  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.losses.class_weights import weights_by_scheme  # noqa: E402
from utils.sample import Sample  # noqa: E402


@dataclass
class Statistics:
    """Sums over images.

    Attributes:
        classes: Number of classes.
        ignore_index: Semantic label that counts for nothing.
        pixels, totals, squares: Count, sum and sum of squares of each channel, 0 to 1.
        counts: Pixels of each class.
        ignored: Pixels of none.
        objects: Number of objects of each image.
        areas: Their areas in pixels.
    """

    classes: int
    ignore_index: int
    pixels: int = 0
    totals: np.ndarray | float = 0.0
    squares: np.ndarray | float = 0.0
    counts: np.ndarray | float = 0
    ignored: int = 0
    objects: list[int] = field(default_factory=list)
    areas: list[np.ndarray] = field(default_factory=list)

    def add(self, sample: Sample) -> None:
        """Count one image.

        Raises:
            UserError: If its labels hold what is no class.
        """
        scale = np.iinfo(sample.image.dtype).max
        pixels = sample.image.shape[0] * sample.image.shape[1]
        mean, deviation = moments(sample.image)
        self.pixels += pixels
        self.totals = self.totals + pixels * mean / scale
        self.squares = self.squares + pixels * (deviation**2 + mean**2) / scale**2
        if "semantic" in sample.maps:
            self._add_classes(sample)
        if "instance" in sample.maps:
            ids = sample.maps["instance"]
            _, areas = np.unique(ids[ids > 0], return_counts=True)
            self.objects.append(len(areas))
            self.areas.append(areas)

    def _add_classes(self, sample: Sample) -> None:
        labels = sample.maps["semantic"]
        labels = labels[labels != self.ignore_index]
        if labels.size and not 0 <= labels.min() <= labels.max() < self.classes:
            raise UserError(
                f"{sample.name} holds the labels {labels.min()} to {labels.max()} for "
                f"{self.classes} classes; train.py -c CONFIG --check says more"
            )
        self.counts = self.counts + np.bincount(labels, minlength=self.classes)
        self.ignored += sample.maps["semantic"].size - labels.size

    def weights(self) -> dict[str, list[float]]:
        """Weights of the classes by each scheme."""
        return weights_by_scheme(self.classes, self.counts.tolist())

    def normalize(self) -> list[list[float]]:
        """Mean and deviation of each channel, 0 to 1."""
        mean = self.totals / self.pixels
        deviation = np.sqrt(np.maximum(self.squares / self.pixels - mean**2, 0))
        return [np.round(values, 4).tolist() for values in (mean, deviation)]


def moments(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel of (H, W, C), in pixel values."""
    channels = [cv2.meanStdDev(np.ascontiguousarray(image[:, :, i])) for i in range(image.shape[2])]
    mean, deviation = zip(*channels, strict=True)
    return np.ravel(mean), np.ravel(deviation)


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    config = read_config(args.config, args.set)
    section = config[f"{args.split}_loader"]
    if section is None:
        raise UserError(f"{args.config} has no {args.split}_loader")
    dataset = make_dataset(section, config["ignore_index"])
    found = Statistics(len(dataset.classes), dataset.ignore_index)
    for entry in tqdm(dataset.entries, unit="img", disable=None):
        found.add(dataset.read(entry))
    print("\n".join(report(found, dataset)))


def report(found: Statistics, dataset: BaseDataset) -> list[str]:
    lines = [f"{type(dataset).__name__} {dataset.split or ''}: {len(dataset)} images", ""]
    if np.ndim(found.counts):  # an image had a label
        lines += class_table(found, dataset.classes)
    if found.objects:
        lines += object_lines(found)
    lines += ["for the args of a loader:", f'  "normalize": {json.dumps(found.normalize())}']
    if np.ndim(found.counts):  # an image had a label
        lines += ["for the args of a loss, one of:"]
        for scheme, weights in found.weights().items():
            lines.append(f'  {scheme:<8} "class_weights": {json.dumps(weights)}')
    return lines


def class_table(found: Statistics, classes: list[str]) -> list[str]:
    share = found.counts / max(found.counts.sum(), 1)
    width = max(map(len, [*classes, "class"]))
    schemes = found.weights()
    head = "".join(f"{name:>10}" for name in ("pixels", *schemes))
    columns = schemes.values()
    rows = [
        f"{name:<{width}}{share[i]:>10.3%}" + "".join(f"{column[i]:>10.4g}" for column in columns)
        for i, name in enumerate(classes)
    ]
    total = found.ignored + int(found.counts.sum())
    return [f"{'class':<{width}}{head}", *rows, f"ignored: {found.ignored / total:.3%}", ""]


def object_lines(found: Statistics) -> list[str]:
    areas = np.concatenate(found.areas)
    if not len(areas):
        return ["objects: none", ""]
    few, middle, many = np.percentile(found.objects, (0, 50, 100)).astype(int)
    low, median, high = np.percentile(areas, (1, 50, 99)).astype(int)
    return [
        f"objects an image: {few} to {many}, median {middle}",
        f"area of an object: median {median} pixels, 98 % of them from {low} to {high}",
        "",
    ]


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("-c", "--config", required=True, help="JSON file of the run")
    override = "override a value of the config; may be given again"
    add("--set", action="append", default=[], metavar="a.b=value", help=override)
    add("--split", default="train", choices=["train", "val", "test"], help="which loader (train)")
    add("--import", dest="imports", action="append", default=[], metavar="PACKAGE")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
