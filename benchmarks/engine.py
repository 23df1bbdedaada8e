"""What the trainer costs beside a bare loop of the same model, data and update.

    python benchmarks/engine.py [--device cuda] [--size 256] [--batch 8] [--steps 60] [--rounds 5]

Bare loop and trainer alternate in one process. Printed: seconds a step of both (the median of the
rounds), their ratio with its spread, the share of time waiting for data, the stall of writing a
checkpoint as a share of the training time at the default of one an epoch, and the peak memory that
each adds, each in a process of its own (the GPU allocator's, else resident memory).
"""

from __future__ import annotations

import argparse
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402
from base.base_trainer import BaseTrainer  # noqa: E402
from benchmarks.measuring import resident, seconds  # noqa: E402
from utils.config import filled  # noqa: E402
from utils.engine.feed import on_device  # noqa: E402
from utils.engine.progress import Progress  # noqa: E402
from utils.engine.resume import Start  # noqa: E402
from utils.engine.run_folder import RunFolder  # noqa: E402


def make_trainer(args: argparse.Namespace) -> BaseTrainer:
    """A U-Net on drawn shapes; an epoch is `--steps` batches."""
    data = {"size": args.size, "length": args.batch * args.steps, "batch_size": args.batch}
    config = filled(
        {
            "name": "engine",
            "arch": {"type": "UNet", "args": {"backbone": "resnet18"}},
            "train_loader": {"type": "Shapes", "args": {**data, "num_workers": args.workers}},
            "loss": "CrossEntropy",
            "optimizer": {"type": "AdamW", "args": {"lr": 0.001}},
            "trainer": {"epochs": 10_000, "monitor": "off", "tensorboard": True},
        }
    )
    return train.build(Start(config), [torch.device(args.device)])


def bare_epoch(trainer: BaseTrainer) -> None:
    """What anyone would write: batch, loss, backward, step."""
    optimizer = trainer.updater.optimizer
    for batch in on_device(trainer.train_loader, trainer.device, trainer.memory_format):
        outputs = trainer.model(batch["image"])
        sum(trainer.loss(outputs, batch["target"]).values()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def measure(args: argparse.Namespace) -> None:
    trainer = make_trainer(args)
    trainer.stop = type("Never", (), {"received": None})()
    waited = []
    finish = Progress.finish

    def noting(self: Progress) -> None:
        waited.append(self.waited / self.seconds)
        finish(self)

    Progress.finish = noting
    with tempfile.TemporaryDirectory() as folder:
        trainer.folder = trainer.reporter.folder = RunFolder(Path(folder), Path(folder))
        trainer.finished = False
        trainer.model.train()
        works = {"bare": lambda: bare_epoch(trainer), "trainer": trainer._train_epoch}
        for work in works.values():
            work()
        times = {name: [] for name in works}
        for _ in range(args.rounds):
            for name, work in works.items():
                times[name].append(seconds(work, args.device))
        before = time.perf_counter()
        trainer._save("last.pth")
        stall = time.perf_counter() - before
        trainer.folder.wait()
        written = time.perf_counter() - before
        trainer.folder.close()
    ratios = [b / a for a, b in zip(times["bare"], times["trainer"], strict=True)]
    median = {name: statistics.median(values) / args.steps for name, values in times.items()}
    print(f"{torch.__version__}, {args.device}, batch {args.batch} of {args.size}x{args.size}")
    print(f"bare loop   {1000 * median['bare']:9.2f} ms a step")
    print(f"trainer     {1000 * median['trainer']:9.2f} ms a step")
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"ratio       {statistics.median(ratios):9.3f}    ({spread}, {args.rounds} rounds)")
    print(f"waiting     {100 * statistics.median(waited):9.1f} % of the trainer's time")
    share = stall / statistics.median(times["trainer"])
    print(f"checkpoint  {1000 * stall:9.2f} ms stall of {1000 * written:.2f} ms to write")
    print(f"            {100 * share:9.2f} % of an epoch of {args.steps} steps")
    for name in ("bare", "trainer"):
        words = [sys.executable, __file__, *sys.argv[1:], "--memory", name]
        peak = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        print(f"memory      {float(peak.splitlines()[-1]):9.1f} MiB at most, {name}")


def memory(args: argparse.Namespace) -> None:
    """Print the peak of one of the two."""
    trainer = make_trainer(args)
    trainer.model.train()
    with tempfile.TemporaryDirectory() as folder:
        if args.memory == "bare":
            bare_epoch(trainer)
        else:
            trainer.stop = type("Never", (), {"received": None})()
            trainer.folder = trainer.reporter.folder = RunFolder(Path(folder))
            trainer.finished = False
            trainer._train_epoch()
            trainer.folder.close()
    peak = torch.cuda.max_memory_allocated() if args.device == "cuda" else resident("VmHWM")
    print(peak / 2**20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=60, help="batches of an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--memory", choices=("bare", "trainer"), help="only its peak memory")
    arguments = parser.parse_args()
    logging.getLogger("segforge").setLevel(logging.WARNING)
    memory(arguments) if arguments.memory else measure(arguments)
