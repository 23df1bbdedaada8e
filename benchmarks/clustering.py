"""Time and score our labelers against scikit-learn's MeanShift and the hdbscan package.

    python benchmarks/clustering.py [--maps 10] [--size 448] [--exact-maps 1] [--exact-size 224]
    python benchmarks/clustering.py --embeddings FOLDER

Maps are drawn by embedding_maps.py: ellipses, 16 channels, nearest centres 2.0 apart, noise 0.05 to
0.08 a channel, blurred borders, bandwidth 0.5. Ours are scored and timed on all of them; the exact
algorithms, which take minutes, on the first few of a smaller size, and ours on the same ones beside
them. Seconds are medians; the largest cluster is background; SBD is the challenge's symmetric best
Dice. With --embeddings the maps are the /embeddings1 of a folder of predictions with /gt, as
inference.py and cluster.py write them.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.embedding_maps import draw_map, symmetric_best_dice  # noqa: E402
from benchmarks.measuring import seconds  # noqa: E402
from utils.clustering import LABELERS  # noqa: E402
from utils.embeddings_file import read_dataset  # noqa: E402

BANDWIDTH = 0.5
OURS = ("MeanShift", "MeanShiftPlus", "Density", "DBSCAN")
Map = tuple[Tensor, np.ndarray]
Label = Callable[[Tensor], np.ndarray]


def ours(name: str, bandwidth: float) -> Label:
    args = {"delta_var": bandwidth}
    if name == "MeanShiftPlus":
        args["delta_dist"] = 3 * bandwidth
    labeler = LABELERS.build({"type": name, "args": args})
    return lambda embedding: labeler({"out": embedding})[0].cpu().numpy()


def sklearn_mean_shift(bandwidth: float) -> Label:
    from sklearn.cluster import MeanShift

    return per_pixel(MeanShift(bandwidth=bandwidth, bin_seeding=True))


def exact_hdbscan(bandwidth: float) -> Label:
    from hdbscan import HDBSCAN

    return per_pixel(HDBSCAN(min_cluster_size=50, cluster_selection_epsilon=bandwidth))


EXACT = {"sklearn MeanShift": sklearn_mean_shift, "hdbscan": exact_hdbscan}


def per_pixel(algorithm) -> Label:
    """A peer on every pixel; noise and the largest cluster are background."""

    def label(embedding: Tensor) -> np.ndarray:
        pixels = embedding[0].flatten(1).T.double().numpy()
        found = algorithm.fit_predict(pixels).reshape(embedding.shape[2:]) + 1
        sizes = np.bincount(found.ravel())
        sizes[0] = 0
        return np.where(found == sizes.argmax(), 0, found)

    return label


def measure(name: str, label: Label, maps: list[Map], device: str) -> tuple[float, float]:
    """Median seconds and mean SBD; prints them."""
    times, scores, counts = [], [], []
    for embedding, truth in maps:
        found: list[np.ndarray] = []
        embedding = embedding.to(device)
        times.append(seconds(lambda e=embedding, f=found: f.append(label(e)), device))
        scores.append(symmetric_best_dice(found[0], truth))
        counts.append(len(np.setdiff1d(found[0], 0)) - len(np.setdiff1d(truth, 0)))
    time, score = statistics.median(times), statistics.fmean(scores)
    print(
        f"  {name:18} {time:9.3f} s ({min(times):.3f} to {max(times):.3f})   SBD {score:.4f} "
        f"(worst {min(scores):.4f})   objects too many {sum(max(c, 0) for c in counts)}, "
        f"too few {sum(max(-c, 0) for c in counts)}",
        flush=True,
    )
    return time, score


def compare(maps: list[Map], exact: list[Map], args: argparse.Namespace) -> None:
    print(f"{len(maps)} maps of {tuple(maps[0][0].shape[1:])}, bandwidth {args.bandwidth}")
    for name in OURS:
        label = ours(name, args.bandwidth)
        label(maps[0][0].to(args.device))  # libraries and threads are there before it counts
        measure(name, label, maps, args.device)
    if not exact:
        return
    print(f"beside the exact algorithms: {len(exact)} maps of {tuple(exact[0][0].shape[1:])}")
    mine = {
        name: measure(name, ours(name, args.bandwidth), exact, args.device)
        for name in ("MeanShift", "Density")
    }
    for (name, make), beside in zip(EXACT.items(), ("MeanShift", "Density"), strict=True):
        time, score = measure(name, make(args.bandwidth), exact, "cpu")
        print(
            f"  {beside} is {time / mine[beside][0]:.0f} times as fast; its SBD is "
            f"{mine[beside][1] - score:+.4f} off"
        )


def saved_maps(folder: Path) -> list[Map]:
    paths = sorted(folder.glob("*.h5"))
    return [
        (torch.from_numpy(read_dataset(p, "embeddings1")).float()[None], read_dataset(p, "gt"))
        for p in paths
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--maps", type=int, default=10)
    add("--size", type=int, default=448, help="height and width in pixels")
    add("--exact-maps", type=int, default=1, help="of them for the exact algorithms; 0 for none")
    add("--exact-size", type=int, default=224)
    add("--blur", type=float, default=1.5, help="standard deviation of borders, in pixels")
    add("--objects", type=int, default=20)
    add("--bandwidth", type=float, default=BANDWIDTH)
    add("--embeddings", type=Path, help="folder of predictions with /gt, in place of drawn maps")
    add("--device", choices=["cpu", "cuda"], default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else platform.machine()
    print(
        f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}, load "
        f"{os.getloadavg()[0]:.1f} before the start"
    )

    def drawn(count: int, size: int) -> list[Map]:
        kinds = {"objects": arguments.objects, "blur": arguments.blur}
        return [draw_map(seed, size, **kinds) for seed in range(count)]

    if arguments.embeddings:
        saved = saved_maps(arguments.embeddings)
        compare(saved, saved[: arguments.exact_maps], arguments)
    else:
        few = drawn(arguments.exact_maps, arguments.exact_size)
        compare(drawn(arguments.maps, arguments.size), few, arguments)
