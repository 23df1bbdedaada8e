"""Time our losses, forward and backward, against segmentation_models.pytorch's and plain formulas.

    pip install -r benchmarks/requirements.txt
    python benchmarks/losses.py [--device cuda] [--size 384] [--batch 2] [--classes 19]

Steps alternate in one process. Printed for each pair: both values, seconds, their ratio (above 1:
ours is faster) with its spread, the floor (scores read and gradient written once, at the rate of a
large copy measured here), and the peak memory that a step adds, each in a process of its own. The
plain Lovász-Softmax below is the published algorithm, a sort a class in a Python loop, written for
this file.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measuring import copy_bandwidth, resident, seconds  # noqa: E402
from utils.losses import LOSSES  # noqa: E402

IGNORE = 255
Loss = Callable[[Tensor, Tensor], Tensor]


def ours(section: dict, classes: int) -> Loss:
    loss = LOSSES.build(section, num_classes=classes, ignore_index=IGNORE)
    return lambda prediction, target: sum(loss({"out": prediction}, target).values())


def peer(name: str, **options: object) -> Loss:
    import segmentation_models_pytorch as smp

    return getattr(smp.losses, name)("multiclass", ignore_index=IGNORE, **options)


def published_lovasz(prediction: Tensor, target: Tensor) -> Tensor:
    """Berman et al.: pixels that count in a flat list, then class by class."""
    valid = target != IGNORE
    p = prediction.softmax(1).movedim(1, -1)[valid]
    y = target[valid]
    losses = []
    for c in range(p.shape[1]):
        truth = (y == c).float()
        if truth.sum() == 0:
            continue
        errors, order = (truth - p[:, c]).abs().sort(descending=True)
        hits = truth[order]
        total = hits.sum()
        jaccard = 1 - (total - hits.cumsum(0)) / (total + (1 - hits).cumsum(0))
        jaccard[1:] = jaccard[1:] - jaccard[:-1].clone()
        losses.append(errors @ jaccard)
    return torch.stack(losses).mean()


def torch_cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(prediction, target, ignore_index=IGNORE)


PAIRS: dict[str, tuple[dict, str, Callable[[], Loss]]] = {
    "Lovasz": (
        {"type": "LovaszSoftmax"},
        "the published algorithm",
        lambda: published_lovasz,
    ),
    "Lovasz, peer": ({"type": "LovaszSoftmax"}, "smp LovaszLoss", lambda: peer("LovaszLoss")),
    "Dice": (
        {"type": "Dice", "args": {"smooth": 0}},
        "smp DiceLoss",
        lambda: peer("DiceLoss"),
    ),
    "Focal": ({"type": "Focal"}, "smp FocalLoss (a sigmoid a class)", lambda: peer("FocalLoss")),
    "Jaccard": (
        {"type": "Jaccard", "args": {"smooth": 0}},
        "smp JaccardLoss (ignores nothing)",
        lambda: jaccard_peer(),
    ),
    "Tversky": (
        {"type": "Tversky", "args": {"smooth": 0}},
        "smp TverskyLoss",
        lambda: peer("TverskyLoss", alpha=0.3, beta=0.7),
    ),
    "CrossEntropy": ({"type": "CrossEntropy"}, "torch cross_entropy", lambda: torch_cross_entropy),
}


def jaccard_peer() -> Loss:
    import segmentation_models_pytorch as smp

    loss = smp.losses.JaccardLoss("multiclass")
    return lambda prediction, target: loss(prediction, target.where(target != IGNORE, 0))


def example(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (args.batch, args.classes, args.size, args.size)
    prediction = torch.randn(shape, generator=generator).to(args.device).requires_grad_(True)
    target = torch.randint(0, args.classes, (shape[0], *shape[2:]), generator=generator)
    target[:, : args.size // 10] = IGNORE
    return prediction, target.to(args.device)


def step(loss: Loss, prediction: Tensor, target: Tensor) -> Tensor:
    prediction.grad = None
    value = loss(prediction, target)
    value.backward()
    return value.detach()


def compare(name: str, copy_rate: float, args: argparse.Namespace) -> str:
    section, label, make = PAIRS[name]
    prediction, target = example(args)
    losses = [ours(section, args.classes), make()]
    values = [step(loss, prediction, target).item() for loss in losses]
    rounds = [
        [seconds(lambda loss=loss: step(loss, prediction, target), args.device) for loss in losses]
        for _ in range(args.rounds)
    ]
    mine, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratios = [b / a for a, b in rounds]
    floor = 2 * prediction.numel() * 4 / copy_rate
    memory = [peak_memory(name, side, args) for side in ("ours", "theirs")]
    return (
        f"{name}: {mine * 1e3:.1f} ms, {label} {theirs * 1e3:.1f} ms: ratio "
        f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}), floor "
        f"{floor * 1e3:.1f} ms\n"
        f"  values {values[0]:.7f} and {values[1]:.7f}; "
        f"peak memory {memory[0]:.0f} and {memory[1]:.0f} MB"
    )


def peak_memory(name: str, side: str, args: argparse.Namespace) -> float:
    """MB that one step adds, in a fresh process."""
    words = [f"--size={args.size}", f"--batch={args.batch}", f"--classes={args.classes}"]
    words += [f"--device={args.device}", f"--measure={side}", f"--losses={name}"]
    command = [sys.executable, __file__, *words]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(name: str, side: str, args: argparse.Namespace) -> float:
    section, _, make = PAIRS[name]
    loss = ours(section, args.classes) if side == "ours" else make()
    small = example(argparse.Namespace(**{**vars(args), "size": 32}))
    step(loss, *small)  # threads and libraries are loaded before anything is counted
    prediction, target = example(args)
    if args.device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step(loss, prediction, target)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = resident("VmRSS")
    step(loss, prediction, target)
    return (resident("VmHWM") - before) / 2**20


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--losses", nargs="*", default=list(PAIRS), choices=list(PAIRS))
    add("--size", type=int, default=384, help="height and width in pixels")
    add("--batch", type=int, default=2)
    add("--classes", type=int, default=19)
    add("--rounds", type=int, default=9)
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--measure", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    if arguments.measure:
        print(measure(arguments.losses[0], arguments.measure, arguments))
        raise SystemExit
    import segmentation_models_pytorch

    where = torch.cuda.get_device_name() if arguments.device == "cuda" else platform.machine()
    print(
        f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"segmentation_models.pytorch {segmentation_models_pytorch.__version__}\n"
        f"B{arguments.batch} C{arguments.classes} {arguments.size}x{arguments.size} float32, "
        f"forward and backward, median of {arguments.rounds} alternating rounds"
    )
    rate = copy_bandwidth(arguments.device)
    print(f"a large copy moves {rate / 1e9:.1f} GB a second\n")
    for loss_name in arguments.losses:
        print(compare(loss_name, rate, arguments), flush=True)
