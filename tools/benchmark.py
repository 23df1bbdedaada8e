"""Latency and throughput of a trained or exported model over sizes, batch sizes and precisions.

    python tools/benchmark.py --model saved/NAME/RUN/best_model.pth --sizes 512 1024,2048

Times the network alone on random images, after rounds that warm up, the device waited for.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import platform
import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from inference import load  # noqa: E402
from utils.command import add_common_options, at_least, import_packages, run  # noqa: E402
from utils.device import autocast, choose_devices  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.inference.predict import Predict  # noqa: E402
from utils.whole import whole_file  # noqa: E402

log = logging.getLogger("segforge")
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


@torch.inference_mode()
def milliseconds(
    predict: Predict, shape: tuple[int, ...], dtype: torch.dtype | None, warm_up: int, rounds: int
) -> np.ndarray:
    """Of each round of one forward pass."""
    image = torch.rand(shape, device=predict.device)
    times = []
    for _ in range(warm_up + rounds):
        start = time.perf_counter()
        with autocast(predict.device, dtype):
            predict.model(image)
        if predict.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1000 * (time.perf_counter() - start))
    return np.array(times[warm_up:])


def sides(text: str) -> tuple[int, int]:
    """ "512" or "1024,2048" as (height, width)."""
    parts = [int(at_least(1)(part)) for part in text.split(",")]
    if len(parts) > 2:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; give N or H,W with spaces between")
    return (parts[0], parts[-1])


def sizes_of(predict: Predict, asked: list[tuple[int, int]] | None, path: Path) -> list:
    """The sizes to measure: those asked for, or that of a file of one fixed size.

    Raises:
        UserError: If such a file is asked for another, which it would run at its own.
    """
    if not predict.fixed_size:
        return asked or [(512, 512)]
    own = tuple(predict.fixed_size)
    for height, width in asked or []:
        if (height, width) != own:
            raise UserError(
                f"--sizes {height},{width}: {path} was exported for {own[0]},{own[1]} alone; leave "
                "--sizes out, or export it with --dynamic size"
            )
    return [own]


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    if args.output and not args.output.parent.is_dir():
        raise UserError(f"--output {args.output}: there is no folder {args.output.parent}")
    if args.output and args.output.is_dir():
        raise UserError(f"--output {args.output} is a folder; name a JSON file")
    device = choose_devices(1 if torch.cuda.is_available() else 0, args.device)[0]
    predict = load(args.model, device)
    sizes = sizes_of(predict, args.sizes, args.model)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    log.info("%s, %d threads, torch %s", name, torch.get_num_threads(), torch.__version__)
    log.info("%-12s %5s %9s %11s %9s %9s %9s", *"size batch precision median p10 p90 img/s".split())
    rows = []
    if args.model.suffix == ".onnx" and "bf16" in args.precision:
        log.warning("an ONNX file runs in the precision it was written in; fp32 alone is measured")
        args.precision = ["fp32"]
    for precision, (height, width), batch in itertools.product(args.precision, sizes, args.batches):
        shape = (batch, predict.channels, height, width)
        times = milliseconds(predict, shape, PRECISIONS[precision], args.warm_up, args.rounds)
        low, median, high = np.percentile(times, (10, 50, 90)).tolist()
        row = {
            **{"size": f"{height}x{width}", "batch": batch, "precision": precision},
            **{"median_ms": median, "p10_ms": low, "p90_ms": high},
            "images_per_second": 1000 * batch / median,
        }
        rows.append(row)
        log.info("%-12s %5d %9s %8.1f ms %6.1f ms %6.1f ms %9.1f", *row.values())
    if args.output:
        with whole_file(args.output) as part:
            part.write_text(json.dumps(rows, indent=2) + "\n")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_common_options(parser)
    add = parser.add_argument
    add("-m", "--model", required=True, type=Path, help="checkpoint, .pt2 or .onnx")
    size = "N or H,W in pixels, several (512, or a file's own fixed size)"
    add("--sizes", nargs="+", type=sides, metavar="SIZE", help=size)
    add("--batches", nargs="+", type=at_least(1), default=[1], help="batch sizes (1)")
    add("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="both if left")
    add("--warm-up", type=at_least(0), default=3, help="rounds that do not count (3)")
    add("--rounds", type=at_least(1), default=20, help="rounds that count (20)")
    add("-o", "--output", type=Path, help="also write the rows to this JSON file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
