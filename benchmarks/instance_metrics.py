"""Time InstanceScores' update against a loop over pairs of objects, in one process.

    python benchmarks/instance_metrics.py [--size 448] [--objects 20 200] [--rounds 5]

Objects are the pixels nearest to one of so many random points, some background between them; the
labels are the target moved by three pixels, with other ids. The loop is the plain way: a mask for
every object, and for every pair of masks the pixels they share, from which the best Dice and the
matches are taken; it computes SBD, AP50 and AP alone, ours every score. Printed: milliseconds of
one image for both, the median of alternating rounds, and their ratio (above 1: ours is faster). The
scores both compute must be equal.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measuring import seconds  # noqa: E402
from utils.metrics import METRICS  # noqa: E402


def objects(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """An object map (H, W) int64."""
    places = np.stack(np.mgrid[:size, :size], -1).reshape(-1, 2)
    far, nearest = cKDTree(rng.random((count, 2)) * size).query(places)
    nearest[far > 0.5 * size / np.sqrt(count)] = -1
    return nearest.reshape(size, size) + 1


def loop(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The scores from masks, one pair after another."""
    ours, true = ([m == i for i in np.unique(m) if i] for m in (found, truth))
    dice, iou = np.zeros((2, len(ours), len(true)))
    for row, a in enumerate(ours):
        for column, b in enumerate(true):
            both, either = (a & b).sum(), (a | b).sum()
            iou[row, column] = both / either
            dice[row, column] = 2 * both / (both + either)
    hits = (iou[..., None] > np.arange(10, 20) / 20).sum((0, 1))
    precision = hits / (len(ours) + len(true) - hits)
    return {
        "SBD": min(dice.max(0).mean(), dice.max(1).mean()),
        "AP50": precision[0],
        "AP": precision.mean(),
    }


def main(args: argparse.Namespace) -> None:
    print(f"{args.size}x{args.size}, {torch.get_num_threads()} threads, {args.rounds} rounds")
    for count in args.objects:
        rng = np.random.default_rng(count)
        truth = objects(count, args.size, rng)
        ids = np.concatenate([[0], 1 + rng.permutation(count)])
        found = ids[np.roll(truth, 3, 1)]
        maps = torch.from_numpy(found)[None], torch.from_numpy(truth)[None]
        metric = METRICS.build("InstanceScores", num_classes=2, ignore_index=-1)
        metric.update(*maps)
        scores = metric.compute()
        for name, value in loop(found, truth).items():
            assert abs(scores[name] - value) < 1e-9, f"{name} differs"
        rounds = [
            (
                seconds(lambda maps=maps, metric=metric: metric.update(*maps), "cpu"),
                seconds(lambda found=found, truth=truth: loop(found, truth), "cpu"),
            )
            for _ in range(args.rounds)
        ]
        ours, theirs = map(statistics.median, zip(*rounds, strict=True))
        ratio = statistics.median(b / a for a, b in rounds)
        print(
            f"{count} objects: ours {ours * 1e3:.2f} ms, loop {theirs * 1e3:.0f} ms, "
            f"ratio {ratio:.0f}"
        )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--size", type=int, default=448, help="height and width in pixels")
    add("--objects", type=int, nargs="+", default=[20, 200])
    add("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main(parse())
