"""Time IoU's update against torchmetrics' on the same label maps, in one process.

    pip install -r benchmarks/requirements.txt
    python benchmarks/metrics.py [--device cuda] [--batch 2] [--classes 19] [--size 384]

Smooth random maps of which one in ten labels is wrong and one in ten targets is void. Rounds of
all metrics alternate, so that whatever else the machine does falls on all of them. Printed for each
peer: milliseconds of an update of both, and their ratio (above 1: ours is faster), the median of
the rounds and their 10th and 90th percentile. torchmetrics checks its input by default, which takes
most of its time, and can be told not to; ours always does. The floor is one reading of both maps at
the bandwidth of a copy measured here. All confusion matrices must be equal.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measuring import copy_bandwidth  # noqa: E402
from utils.metrics import METRICS  # noqa: E402

IGNORE = 255


def maps(batch: int, classes: int, size: int, device: str) -> tuple[Tensor, Tensor]:
    """labels and target, (B, H, W) int64."""
    shape = (batch, size, size)

    def smooth() -> Tensor:
        return F.interpolate(torch.randn(batch, classes, 12, 12), (size, size)).argmax(1)

    target = smooth()
    labels = torch.where(torch.rand(shape) < 0.1, smooth(), target)
    target[torch.rand(shape) < 0.02] = IGNORE
    target[:, : size // 12] = IGNORE
    return labels.to(device), target.to(device)


def peers(classes: int, device: str) -> dict[str, Callable[[Tensor, Tensor], None]]:
    """Updates of the peers by name, unchecked ones first."""
    from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

    common = {"num_classes": classes, "ignore_index": IGNORE}
    return {
        f"{cls.__name__}{'' if checks else ', unchecked'}": cls(**common, validate_args=checks).to(
            device
        )
        for checks in (False, True)
        for cls in (MulticlassConfusionMatrix, MulticlassJaccardIndex)
    }


def milliseconds(work: Callable[[], None], device: str, steps: int) -> float:
    """Of one of so many steps in a row."""
    start = time.perf_counter()
    for _ in range(steps):
        work()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3 / steps


def spread(values: list[float]) -> str:
    tenths = statistics.quantiles(values, n=10)
    return f"{statistics.median(values):.2f} ({tenths[0]:.2f} to {tenths[-1]:.2f})"


def main(args: argparse.Namespace) -> None:
    torch.manual_seed(0)
    import torchmetrics

    where = torch.cuda.get_device_name() if args.device == "cuda" else platform.processor()
    labels, target = maps(args.batch, args.classes, args.size, args.device)
    rate = copy_bandwidth(args.device)
    read = labels.nbytes + target.nbytes
    print(
        f"{where or platform.machine()}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}, torchmetrics {torchmetrics.__version__}\nB{args.batch} "
        f"C{args.classes} {args.size}x{args.size}, {args.rounds} alternating rounds of "
        f"{args.steps} updates\na copy moves {rate / 1e9:.1f} GB a second; the floor, "
        f"{read / 1e6:.1f} MB read, is {read / rate * 1e3:.3f} ms\n"
    )
    ours = METRICS.build("IoU", num_classes=args.classes, ignore_index=IGNORE)
    theirs = peers(args.classes, args.device)
    works = [lambda: ours.update(labels, target)]
    works += [lambda peer=peer: peer.update(labels, target) for peer in theirs.values()]
    rounds = [
        [milliseconds(work, args.device, args.steps) for work in works]
        for _ in range(args.rounds + 1)
    ][1:]
    for peer in theirs.values():
        assert (ours.confusion == peer.confmat.cpu().numpy()).all(), "the counts differ"
    mine, *columns = zip(*rounds, strict=True)
    print(f"ours {statistics.median(mine):.3f} ms")
    for name, column in zip(theirs, columns, strict=True):
        ratios = [their / our for their, our in zip(column, mine, strict=True)]
        print(f"{name} {statistics.median(column):.3f} ms, ratio {spread(ratios)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--batch", type=int, help="2, on a GPU 8")
    add("--classes", type=int, default=19)
    add("--size", type=int, help="height and width in pixels: 384, on a GPU 769")
    add("--rounds", type=int, default=30)
    add("--steps", type=int, default=10, help="updates in a round")
    args = parser.parse_args()
    usual = {"cpu": (2, 384), "cuda": (8, 769)}[args.device]
    args.batch, args.size = args.batch or usual[0], args.size or usual[1]
    return args


if __name__ == "__main__":
    main(parse())
