"""What docs/inference.md says of speed, measured in one go.

    python benchmarks/inference.py [--device cuda] [--arch UNet] [--size 512 1024]

1. A folder of photos through inference.py's own code, as a share of the network's forward rate.
2. Sliding windows in batches against one window at a time.
3. Multi-scale with flips against a straightforward implementation that resamples with scipy.
4. The resampling of 3 alone.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402, F401 - fills the registries
from benchmarks.measuring import seconds  # noqa: E402
from inference import predict_all  # noqa: E402
from models import MODELS  # noqa: E402
from utils.config import filled, read_config  # noqa: E402
from utils.image_io import write_png  # noqa: E402
from utils.inference.predict import Predict  # noqa: E402
from utils.inference.sources import find_source  # noqa: E402
from utils.normalization import Normalization  # noqa: E402
from utils.predictors import MultiScale, Sliding  # noqa: E402
from utils.predictors.multi_scale import resize  # noqa: E402
from utils.scoring import with_defaults  # noqa: E402
from utils.writers.output import Output  # noqa: E402

SCALES = (0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
CLASSES = 21


def best(work, device: str, rounds: int) -> float:
    """Seconds of the fastest round, after one that warms up."""
    return min(seconds(work, device) for _ in range(rounds + 1))


def photos(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Images with the detail of a photo, which PNG cannot pack away."""
    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = rng.integers(0, 255, (size[0] // 8, size[1] // 8, 3)).astype(np.float32)
        smooth = ndimage.zoom(coarse, (8, 8, 1), order=1)
        noisy = smooth + rng.normal(0, 6, smooth.shape)
        write_png(folder / f"{index:03d}.png", noisy.clip(0, 255).astype(np.uint8))


def folder_rate(predict: Predict, folder: Path, output: Path) -> float:
    """Images a second from PNG to label map on disk, as inference.py goes through a folder."""
    source = find_source([folder])

    def work() -> None:
        written = Output(output, ["palette"], source, predict.task, overwrite=True)
        predict_all(predict, source, written)

    return len(source) / best(work, predict.device, 2)


def untrained(model: nn.Module, device: str) -> Predict:
    """A model with everything around it, as a checkpoint of a run would give it."""
    float32 = ["trainer.amp=false", "trainer.channels_last=false"]
    config = with_defaults(filled(read_config(ROOT / "configs" / "quickstart.json", float32)))
    state = {
        "config": config,
        "classes": [str(i) for i in range(CLASSES)],
        "palette": [[i, i, i] for i in range(256)],
        "channels": 3,
        "normalization": Normalization().state(),
    }
    return Predict(state, model, torch.device(device))


def one_by_one(model: nn.Module, image: Tensor, window: int) -> Tensor:
    """Scores by a loop over windows, as it is usually written."""
    height, width = image.shape[-2:]
    total = image.new_zeros(1, CLASSES, height, width)
    count = image.new_zeros(1, 1, height, width)
    tops, lefts = (
        sorted({*range(0, n - window, window // 2), n - window}) for n in (height, width)
    )
    for top in tops:
        for left in lefts:
            box = (..., slice(top, top + window), slice(left, left + window))
            total[box] += model(image[box])["out"].softmax(1)
            count[box] += 1
    return total / count


def scipy_multi_scale(model: nn.Module, image: Tensor) -> np.ndarray:
    """The mean over scales and flips, resampled on the CPU by scipy.ndimage.zoom."""
    pixels, (height, width) = image[0].cpu().numpy(), image.shape[-2:]
    total = np.zeros((CLASSES, height, width), np.float32)
    for scale in SCALES:
        view = ndimage.zoom(pixels, (1, scale, scale), order=1, prefilter=False)
        for mirrored in (False, True):
            given = view[..., ::-1].copy() if mirrored else view
            out = model(torch.from_numpy(given)[None].to(image.device))["out"][0].cpu().numpy()
            out = out[..., ::-1] if mirrored else out
            back = (1, height / out.shape[1], width / out.shape[2])
            total += ndimage.zoom(out, back, order=1, prefilter=False)
    return total / (2 * len(SCALES))


def main(args: argparse.Namespace) -> None:
    torch.manual_seed(0)
    device, size, rounds = args.device, tuple(args.size), args.rounds
    model = MODELS.build(args.arch, out_channels=CLASSES).to(device).eval()
    image = torch.rand(1, 3, *size, device=device)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{args.arch} on {device}, {size[0]}x{size[1]}, {CLASSES} classes")

    forward = 1 / best(lambda: model(image), device, rounds)
    with tempfile.TemporaryDirectory() as folder:
        photos(Path(folder) / "in", args.images, size)
        places = Path(folder) / "in", Path(folder) / "out"
        rate = folder_rate(untrained(model, device), *places)
    print(f"1 folder      {rate:8.2f} img/s, forward alone {forward:8.2f}: {rate / forward:.2f}")

    large = torch.rand(1, 3, 2 * size[0], 2 * size[1], device=device)
    window = min(size) // 2
    sliding = Sliding(window, 0.5, batch_size=args.windows)
    ours = best(lambda: sliding(model, large), device, rounds)
    theirs = best(lambda: one_by_one(model, large, window), device, rounds)
    print(f"2 sliding     {ours:8.2f} s, one window at a time {theirs:8.2f} s: {theirs / ours:.2f}")

    multi = MultiScale(list(SCALES))
    ours = best(lambda: multi(model, image), device, 1)
    theirs = seconds(lambda: scipy_multi_scale(model, image), device)
    print(f"3 multi-scale {ours:8.2f} s, with scipy {theirs:8.2f} s: {theirs / ours:.2f}")

    scores = torch.rand(1, CLASSES, size[0] * 2, size[1] * 2, device=device)
    ours = best(lambda: resize(scores, size), device, rounds)
    pixels = scores[0].cpu().numpy()
    theirs = seconds(lambda: ndimage.zoom(pixels, (1, 0.5, 0.5), order=1, prefilter=False), "cpu")
    print(f"4 resampling  {ours:8.3f} s, with scipy {theirs:8.3f} s: {theirs / ours:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--arch", default="UNet", choices=list(MODELS))
    parser.add_argument("--size", nargs=2, type=int, default=[512, 1024], metavar=("H", "W"))
    parser.add_argument("--images", type=int, default=24, help="photos in the folder")
    parser.add_argument("--windows", type=int, default=16, help="windows in a batch")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with torch.inference_mode():
        main(arguments)
