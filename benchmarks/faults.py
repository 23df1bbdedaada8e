"""Kill a short run at random moments, resume it, and compare it with the unbroken one.

    python benchmarks/faults.py [--kills 50] [--workers 0] [--signal KILL] [--seed 0]

The run draws its data and saves after every second batch, so that many kills fall into a write.
After each kill the folder's newest good checkpoint must load; then `-r auto` goes on, up to the
next kill. Printed: the kills and where the run went on, then what differs in weights, optimizer,
generators and metrics.csv between the broken and the unbroken run: nothing, else exit code 1.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402, F401 - fills the registries
from utils import checkpoint  # noqa: E402
from utils.resume import newest  # noqa: E402


def config(name: str, folder: Path, workers: int) -> dict:
    data = {"size": 32, "batch_size": 2, "augment": True, "flip": True, "scale": False}
    return {
        "name": name,
        "n_gpu": 0,
        "arch": {"type": "UNet", "args": {"decoder_channels": [16, 8, 8, 8]}},
        "train_loader": {
            "type": "Shapes",
            "args": {**data, "length": 40, "shuffle": True, "num_workers": workers},
        },
        "val_loader": {"type": "Shapes", "args": {"split": "val", "length": 4, "size": 32}},
        "loss": "CrossEntropy",
        "optimizer": {"type": "AdamW", "args": {"lr": 0.001}},
        "trainer": {
            "epochs": 10,
            "save_dir": str(folder),
            "save_every_iterations": 2,
            "deterministic": True,
            "tensorboard": False,
        },
    }


def start(path: Path) -> subprocess.Popen:
    words = [sys.executable, "train.py", "-c", str(path), "-r", "auto"]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


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


def main(args: argparse.Namespace) -> int:
    rng = random.Random(args.seed)
    whole_seconds = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder, states = Path(name), {}
        for run in ("whole", "broken"):
            described = config(run, folder, args.workers)
            path = folder / f"{run}.json"
            path.write_text(json.dumps(described))
            begin = time.monotonic()
            left = args.kills if run == "broken" else 0
            while True:
                process = start(path)
                try:
                    if left:
                        process.wait(rng.uniform(0, whole_seconds))
                    _, errors = process.communicate()
                    if process.returncode:
                        raise SystemExit(errors.decode())
                    break
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.Signals[f"SIG{args.signal}"])
                    process.communicate()
                    left -= 1
                    found, state = newest(described)
                    where = f"{found.name} at {state['iteration']}" if found else "the beginning"
                    print(f"kill {args.kills - left}: goes on from {where}", flush=True)
            whole_seconds = time.monotonic() - begin
            (last,) = folder.glob(f"{run}/*/last.pth")
            table = (last.parent / "metrics.csv").read_text()
            states[run] = {**checkpoint.load(last), "metrics.csv": table, "config": None}
            if parts := list(last.parent.glob("*.part")):
                print(f"{run}: left {parts}")
                return 1
        found = differences(states["whole"], states["broken"])
        print("different: " + (", ".join(found) or "nothing"))
        return int(bool(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--signal", default="KILL", choices=("KILL", "TERM", "INT"))
    parser.add_argument("--seed", type=int, default=0)
    raise SystemExit(main(parser.parse_args()))
