"""Kill a short run at random moments, resume it, and compare it with the unbroken one.

    python benchmarks/faults.py [--kills 50] [--workers 0] [--signal KILL] [--seed 0]

The run draws its data and saves after every second batch, so that many kills fall into a write.
After each kill, some time into the training, the folder's newest good checkpoint must load; then
`-r auto` goes on, up to the next kill, and at its end the next run begins until there were enough.
Printed: the kills and where the run went on, then what differs in weights, optimizer, generators,
metrics.csv and TensorBoard's scalars between each broken and the unbroken run: nothing, else exit
code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402, F401 - fills the registries
from utils import checkpoint  # noqa: E402
from utils.config import read_config  # noqa: E402
from utils.engine.resume import newest  # noqa: E402


def config(name: str, folder: Path, workers: int) -> dict:
    data = {"size": 32, "batch_size": 2, "augment": True, "flip": True, "scale": False}
    return {
        "name": name,
        "n_gpu": 0,
        "arch": {"type": "ENet", "args": {}},
        "train_loader": {
            "type": "Shapes",
            "args": {**data, "length": 40, "shuffle": True, "num_workers": workers},
        },
        "val_loader": {"type": "Shapes", "args": {"split": "val", "length": 4, "size": 32}},
        "loss": "CrossEntropy",
        "optimizer": {"type": "AdamW", "args": {"lr": 0.001}},
        "trainer": {
            "epochs": 5,
            "save_dir": str(folder),
            "save_every_iterations": 2,
            "deterministic": True,
            "log_per_iter": 1,
        },
    }


def start(path: Path) -> subprocess.Popen:
    words = [sys.executable, "train.py", "-c", str(path), "-r", "auto"]
    return subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # so small a model is slower on more
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_trained(process: subprocess.Popen) -> None:
    """Wait for the line after which a run's batches begin."""
    for line in process.stdout:
        if line.startswith("batches of"):
            return


def train_to_end(path: Path, kills: int, how: str, moment: Callable[[], float], length: int) -> int:
    """Train, kill at most so often after `moment()` seconds of training, go on; the kills left.

    A kill after the last of the run's `length` batches was saved is not counted.
    """
    described = read_config(path)
    while True:
        process = start(path)
        until_trained(process)
        try:
            _, errors = process.communicate(timeout=moment() if kills else None)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.Signals[f"SIG{how}"])
            process.communicate()
            found, state = newest(described, exactly=False)
            kills -= found is None or state["iteration"] < length
            where = f"{found.name} at {state['iteration']}" if found else "the beginning"
            print(f"{described['name']}: goes on from {where}, {kills} kills left", flush=True)
            continue
        if process.returncode:
            raise SystemExit(errors)
        return kills


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """The places at which two states differ."""
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [place]
    if isinstance(one, dict | list | tuple):
        if len(one) != len(other):
            return [place]
        keys = one if isinstance(one, dict) else range(len(one))
        return [d for key in keys for d in differences(one[key], other[key], f"{place}.{key}")]
    return [] if one == other or (one != one and other != other) else [place]


def result(folder: Path, run: str) -> dict[str, Any]:
    """All that a run ended with."""
    (last,) = folder.glob(f"{run}/*/last.pth")
    if parts := list(last.parent.glob("*.part")):
        raise SystemExit(f"{run}: left {parts}")
    table = (last.parent / "metrics.csv").read_text()
    events = EventAccumulator(str(last.parent), size_guidance={"scalars": 0})
    events.Reload()
    curves = {
        tag: [(point.step, point.value) for point in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    return {**checkpoint.load(last), "metrics.csv": table, "scalars": curves, "config": None}


def main(args: argparse.Namespace) -> int:
    rng = random.Random(args.seed)
    left, number, failed = args.kills, 0, False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def write(run: str) -> Path:
            path = folder / f"{run}.json"
            path.write_text(json.dumps(config(run, folder, args.workers)))
            return path

        process = start(write("whole"))
        until_trained(process)
        begin = time.monotonic()
        _, errors = process.communicate()
        if process.returncode:
            raise SystemExit(errors)
        seconds = time.monotonic() - begin
        whole = result(folder, "whole")
        while left:
            number += 1
            run = f"broken{number}"
            moment = partial(rng.uniform, 0, seconds / 4)
            left = train_to_end(write(run), left, args.signal, moment, whole["iteration"])
            found = differences(whole, result(folder, run))
            failed |= bool(found)
            print(f"{run}: different: " + (", ".join(found) or "nothing"), flush=True)
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--signal", default="KILL", choices=("KILL", "TERM", "INT"))
    parser.add_argument("--seed", type=int, default=0)
    raise SystemExit(main(parser.parse_args()))
