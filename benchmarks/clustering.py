"""Time and score our labelers against scikit-learn's MeanShift and the hdbscan package.

    python benchmarks/clustering.py [--maps 10] [--size 448] [--exact-maps 3] [--exact-size 224]
    python benchmarks/clustering.py --embeddings FOLDER

Maps are drawn by embedding_maps.py: ellipses, 16 channels, nearest centres 2.0 apart, noise 0.05 to
0.08 a channel, blurred borders, bandwidth 0.5. Ours are scored and timed on all of them; the exact
algorithms, which take minutes, on the first few of a smaller size, and ours on the same ones beside
them. Seconds are medians; SBD is the challenge's symmetric best Dice. All are cleaned up alike:
pixels of clusters below 50 pixels, and what hdbscan calls noise, go to the nearest object, and the
largest cluster is background where no foreground is given.

With --embeddings the maps are the /embeddings1 of a folder of predictions with /gt, as inference.py
and cluster.py write them, clustered inside their /semantic where they have it; the exact
algorithms get every so many pixels of them, --exact-size at most along the longer side.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.embedding_maps import draw_map, symmetric_best_dice  # noqa: E402
from benchmarks.measuring import seconds  # noqa: E402
from utils.clustering import LABELERS, Labeler  # noqa: E402
from utils.clustering.embedding_labeler import EmbeddingLabeler  # noqa: E402
from utils.clustering.pieces import fill  # noqa: E402
from utils.embeddings_file import holds, read_dataset  # noqa: E402

BANDWIDTH = 0.5
OURS = ("MeanShift", "MeanShiftPlus", "Density", "DBSCAN")
Map = tuple[Tensor, np.ndarray, Tensor | None]  # embedding, truth, foreground


def ours(name: str, bandwidth: float) -> Labeler:
    args = {"delta_var": bandwidth}
    if name == "MeanShiftPlus":
        args["delta_dist"] = 3 * bandwidth
    return LABELERS.build({"type": name, "args": args})


class Exact(EmbeddingLabeler):
    """A peer on every pixel, with the clean-up of our labelers."""

    def __init__(self, algorithm):
        super().__init__()
        self.algorithm = algorithm

    def cluster(self, embedding: Tensor, foreground: Tensor) -> Tensor:
        labels = torch.zeros_like(foreground, dtype=torch.int64)
        pixels = embedding[:, foreground].T.double().numpy()
        labels[foreground] = torch.from_numpy(self.algorithm.fit_predict(pixels) + 1).long()
        return fill(labels, foreground & (labels == 0))


def sklearn_mean_shift(bandwidth: float) -> Labeler:
    from sklearn.cluster import MeanShift

    return Exact(MeanShift(bandwidth=bandwidth, bin_seeding=True))


def exact_hdbscan(bandwidth: float) -> Labeler:
    from hdbscan import HDBSCAN

    return Exact(HDBSCAN(min_cluster_size=Exact.min_size))  # it has no bandwidth


EXACT = {"sklearn MeanShift": sklearn_mean_shift, "hdbscan": exact_hdbscan}


def measure(name: str, labeler: Labeler, maps: list[Map], device: str) -> tuple[float, float]:
    """Median seconds and mean SBD; prints them."""
    times, scores, counts = [], [], []
    for embedding, truth, mask in maps:
        found: list[np.ndarray] = []
        outputs = {"out": embedding.to(device)}

        def label(outputs=outputs, mask=mask, found=found) -> None:
            found.append(labeler(outputs, mask)[0].cpu().numpy())

        times.append(seconds(label, device))
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
        labeler = ours(name, args.bandwidth)
        labeler({"out": maps[0][0].to(args.device)})  # libraries and threads are there before
        measure(name, labeler, maps, args.device)
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
    maps = []
    for path in sorted(folder.glob("*.h5")):
        embedding = torch.from_numpy(read_dataset(path, "embeddings1")).float()[None]
        told = holds(path, "semantic")
        mask = torch.from_numpy(read_dataset(path, "semantic") > 0)[None] if told else None
        maps.append((embedding, read_dataset(path, "gt").clip(0), mask))
    return maps


def thinned(found: Map, size: int) -> Map:
    """Every so many pixels of a map, so that its longer side has `size` or fewer."""
    embedding, truth, mask = found
    step = -(-max(truth.shape) // size)
    mask = None if mask is None else mask[:, ::step, ::step]
    return embedding[..., ::step, ::step], truth[::step, ::step], mask


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--maps", type=int, default=10)
    add("--size", type=int, default=448, help="height and width in pixels")
    add("--exact-maps", type=int, default=3, help="of them for the exact algorithms; 0 for none")
    add("--exact-size", type=int, default=224, help="height and width for the exact algorithms")
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
        return [(*draw_map(seed, size, **kinds), None) for seed in range(count)]

    if arguments.embeddings:
        saved = saved_maps(arguments.embeddings)
        few = [thinned(each, arguments.exact_size) for each in saved[: arguments.exact_maps]]
        compare(saved, few, arguments)
    else:
        few = drawn(arguments.exact_maps, arguments.exact_size)
        compare(drawn(arguments.maps, arguments.size), few, arguments)
