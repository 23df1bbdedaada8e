"""Time the embedding losses, forward and backward, against plain implementations of their formulas.

    python benchmarks/embedding_losses.py [--device cuda] [--size 448] [--batch 2] [--channels 16]

The plain ones, written for this file as the published code goes about it: image by image, with
one-hot masks of all instances for the means and pulls, and a loop over instances and anchors for
soft masks. Steps alternate in one process, each after an untimed one of its own. Printed for each
pair: both values (with consistency, each has anchors of its own), seconds, their ratio (above 1:
ours is faster) with its spread, and the peak memory that a step adds, each in a process of its own;
then ours with 200 instances.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measuring import resident, seconds  # noqa: E402
from utils.losses import LOSSES  # noqa: E402

DELTA_VAR, DELTA_DIST, GAMMA = 0.5, 2.0, 0.001
SCALE = DELTA_VAR**2 / math.log(2)
Step = Callable[[Tensor, Tensor, Tensor], Tensor]  # (embedding, target, teacher) -> loss


def contrast(x: Tensor, y: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Means (K, E) of one image's instances, and pull, push and norm summed."""
    hot = (y == ids[:, None, None]).to(x.dtype)  # (K, H, W)
    size = hot.sum((1, 2))
    means = (hot[:, None] * x).sum((2, 3)) / size[:, None]
    away = (x - means[:, :, None, None]).square().sum(1).add(1e-12).sqrt()  # (K, H, W)
    pull = (((away - DELTA_VAR).clamp(min=0).square() * hot).sum((1, 2)) / size).mean()
    gap = (means[:, None] - means).square().sum(2).add(1e-12).sqrt()
    others = 1 - torch.eye(len(ids), device=x.device)
    cost = (2 * DELTA_DIST - gap).clamp(min=0).square() * others
    push = cost.sum() / max(len(ids) * (len(ids) - 1), 1)
    return means, pull + push + GAMMA * means.norm(dim=1).mean()


def soft_mask(x: Tensor, centre: Tensor) -> Tensor:
    """(H, W) of embeddings (E, H, W) around one point."""
    return (-(x - centre[:, None, None]).square().sum(0) / SCALE).exp()


def dice(p: Tensor, t: Tensor) -> Tensor:
    return 1 - 2 * (p * t).sum() / (p.square().sum() + t.square().sum()).clamp(min=1e-12)


def plain_discriminative(x: Tensor, target: Tensor, _: Tensor) -> Tensor:
    return sum(contrast(e, y, y.unique())[1] for e, y in zip(x, target, strict=True)) / len(x)


def plain_full(x: Tensor, target: Tensor, _: Tensor) -> Tensor:
    total = 0.0
    for e, y in zip(x, target, strict=True):
        ids = y.unique()
        means, terms = contrast(e, y, ids)
        masks = [
            dice(soft_mask(e, mean), (y == i).to(e.dtype))
            for i, mean in zip(ids, means, strict=True)
            if i > 0
        ]
        total = total + terms + sum(masks) / len(masks)
    return total / len(x)


def plain_sparse(x: Tensor, target: Tensor, teacher: Tensor) -> Tensor:
    total = 0.0
    for e, y, g in zip(x, target, teacher, strict=True):
        ids, free = y.unique(), y == 0
        ids = ids[ids > 0]
        means, terms = contrast(e, y, ids)
        masks, pushed = [], []
        for i, mean in zip(ids, means, strict=True):
            masks.append(dice(soft_mask(e, mean), (y == i).to(e.dtype)))
            away = (e - mean[:, None, None]).square().sum(0).add(1e-12).sqrt()
            cost = (DELTA_DIST - away).clamp(min=0).square() * free
            pushed.append(cost.sum() / free.sum())
        total = total + terms + (sum(masks) + sum(pushed)) / len(ids)
        total = total + plain_consistency(e, g, free)
    return total / len(x)


def plain_consistency(e: Tensor, g: Tensor, region: Tensor) -> Tensor:
    """Anchor after anchor, the region shrinking by the neighbourhoods in both."""
    left, costs = region.clone(), []
    while left.sum() > 0.05 * region.sum() and len(costs) < 20:
        places = left.nonzero()
        row, column = places[torch.randint(len(places), ()).item()].tolist()
        masks = [soft_mask(view, view[:, row, column]) * region for view in (e, g)]
        left = left & ~(masks[0] > 0.5) & ~(masks[1] > 0.5)
        costs.append(dice(*masks))
    return sum(costs) / len(costs)


def ours(name: str, channels: int, **args: object) -> Step:
    args |= {"embedding_dim": channels, "delta_dist": DELTA_DIST}
    loss = LOSSES.build({"type": name, "args": args}, num_classes=2, ignore_index=-1)
    return lambda x, target, teacher: sum(loss({"out": x, "teacher": teacher}, target).values())


PAIRS: dict[str, tuple[Callable[[int], Step], Step, bool]] = {  # ours, plain, sparse labels
    "Discriminative": (lambda c: ours("Discriminative", c), plain_discriminative, False),
    "Spoco, all objects": (lambda c: ours("Spoco", c, unlabelled=False), plain_full, False),
    "Spoco, a few objects": (lambda c: ours("Spoco", c), plain_sparse, True),
}


def example(
    args: argparse.Namespace, sparse: bool, instances: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Round objects on background with embeddings as half-trained networks give them."""
    generator = torch.Generator().manual_seed(0)
    count, size, batch = instances or args.instances, args.size, args.batch
    count *= 2 if sparse else 1  # of which every other one is annotated
    centre = torch.rand(batch, count, 2, generator=generator) * size
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    target = torch.zeros(batch, size, size, dtype=torch.int64)
    radius = 0.6 * size / math.sqrt(count)
    for image in range(batch):
        best = torch.full((size, size), radius**2)
        for k in range(count):
            far = (rows - centre[image, k, 0]) ** 2 + (columns - centre[image, k, 1]) ** 2
            target[image][far < best] = k + 1
            best = torch.minimum(best, far)
    places = 1.5 * torch.randn(count + 1, args.channels, generator=generator)
    x = places[target].movedim(-1, 1)
    noise = (torch.randn(x.shape, generator=generator) for _ in range(2))
    x, teacher = ((x + 0.15 * n).contiguous().to(args.device) for n in noise)
    if sparse:
        target = target * (target % 2)
    return x.requires_grad_(True), target.to(args.device), teacher


def step(loss: Step, inputs: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    inputs[0].grad = None
    value = loss(*inputs)
    value.backward()
    return value.detach()


def second_step(loss: Step, inputs: tuple[Tensor, Tensor, Tensor], device: str) -> float:
    """Seconds of a step after one of the same, which finds its memory as in training."""
    step(loss, inputs)
    return seconds(lambda: step(loss, inputs), device)


def compare(name: str, args: argparse.Namespace) -> str:
    make, plain, sparse = PAIRS[name]
    losses, inputs = (make(args.channels), plain), example(args, sparse)
    crowded = example(args, sparse, 200)
    values = [step(loss, inputs).item() for loss in losses]
    cases = [(losses[0], inputs), (losses[1], inputs), (losses[0], crowded)]
    rounds = [[second_step(*case, args.device) for case in cases] for _ in range(args.rounds)]
    mine, theirs, many = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratios = [b / a for a, b, _ in rounds]
    growth = statistics.median(c / a for a, _, c in rounds)
    memory = [peak_memory(name, side, args) for side in ("ours", "plain")]
    return (
        f"{name}: {mine * 1e3:.1f} ms, plain {theirs * 1e3:.0f} ms: ratio "
        f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})\n"
        f"  values {values[0]:.6f} and {values[1]:.6f}; peak memory {memory[0]:.0f} and "
        f"{memory[1]:.0f} MB, {memory[0] / memory[1]:.3f} of it\n"
        f"  with 200 instances {many * 1e3:.1f} ms, {growth:.2f} times as long"
    )


def peak_memory(name: str, side: str, args: argparse.Namespace) -> float:
    """MB that one step adds, in a fresh process."""
    words = [f"--{key}={getattr(args, key)}" for key in ("size", "batch", "channels", "instances")]
    words += [f"--device={args.device}", f"--measure={side}", f"--losses={name}"]
    command = [sys.executable, __file__, *words]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(name: str, side: str, args: argparse.Namespace) -> float:
    make, plain, sparse = PAIRS[name]
    loss = make(args.channels) if side == "ours" else plain
    small = argparse.Namespace(**{**vars(args), "size": 32})
    step(loss, example(small, sparse))  # threads and libraries are loaded before anything counts
    inputs = example(args, sparse)
    if args.device == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step(loss, inputs)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    ctypes.CDLL(None).malloc_trim(0)  # what the example left behind would count for nothing
    Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
    before = resident("VmRSS")
    step(loss, inputs)
    return (resident("VmHWM") - before) / 2**20


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--losses", nargs="*", default=list(PAIRS), choices=list(PAIRS))
    add("--size", type=int, default=448, help="height and width in pixels")
    add("--batch", type=int, default=2)
    add("--channels", type=int, default=16, help="of the embedding")
    add("--instances", type=int, default=20, help="objects in an image")
    add("--rounds", type=int, default=7)
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--measure", choices=["ours", "plain"], help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    if arguments.measure:
        print(measure(arguments.losses[0], arguments.measure, arguments))
        raise SystemExit
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else platform.machine()
    print(
        f"{where}, {torch.get_num_threads()} threads, torch {torch.__version__}\n"
        f"B{arguments.batch} E{arguments.channels} {arguments.size}x{arguments.size} "
        f"{arguments.instances} instances, float32, forward and backward, median of "
        f"{arguments.rounds} alternating rounds\n"
    )
    for loss_name in arguments.losses:
        print(compare(loss_name, arguments), flush=True)
