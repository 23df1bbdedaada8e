"""Time every architecture as it is by default: one image of 512x512, plain and as recommended.

    python benchmarks/architectures.py [--device cuda] [--size 512] [--models UNet FPN]

Recommended are `amp` and `channels_last`; the precision is printed, float32 on a CPU without bf16.
Prints the least of several rounds, and the multiply-adds from which the floor of
`benchmarks/models.py` follows.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from models import MODELS  # noqa: E402
from utils.device import autocast_dtype  # noqa: E402
from utils.model_size import model_size  # noqa: E402


def milliseconds(
    model: nn.Module, image: torch.Tensor, dtype: torch.dtype | None, rounds: int
) -> float:
    """Of the fastest round, after one that warms up."""
    times = []
    with torch.inference_mode():
        for _ in range(rounds + 1):
            start = time.perf_counter()
            with torch.autocast(
                image.device.type, dtype or torch.bfloat16, enabled=dtype is not None
            ):
                model(image)
            if image.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
    return 1000 * min(times[1:])


def row(name: str, args: argparse.Namespace) -> str:
    with torch.device("meta"):
        size = model_size(MODELS.build(name, out_channels=21), (3, args.size, args.size))
    model = MODELS.build(name, out_channels=21).to(args.device).eval()
    image = torch.rand(1, 3, args.size, args.size, device=args.device)
    plain = milliseconds(model, image, None, args.rounds)
    layout = torch.channels_last
    fast = milliseconds(
        model.to(memory_format=layout),
        image.contiguous(memory_format=layout),
        autocast_dtype(True, image.device),
        args.rounds,
    )
    return (
        f"{name:14} {size.stored / 1e6:8.2f} M {size.macs / 1e9:9.1f} {plain:10.0f} ms "
        f"{fast:10.0f} ms"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--size", type=int, default=512, help="height and width in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    recommended = autocast_dtype(True, torch.device(arguments.device)) or torch.float32
    print(f"plain is float32; recommended is channels_last, {recommended}")
    print(f"{'model':14} {'parameters':>10} {'GMACs':>9} {'plain':>13} {'recommended':>13}")
    for model_name in arguments.models:
        print(row(model_name, arguments), flush=True)
