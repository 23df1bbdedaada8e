"""Time our models against segmentation_models.pytorch's on the same encoder, in one process.

    pip install segmentation-models-pytorch
    python benchmarks/models.py [--device cuda] [--backbone resnet34] [--size 256] [--batch 4]

The same input, encoder, output stride and depth, and widths as near as theirs can be set; steps of
all cases alternate, so that whatever else the machine does falls on all. A row whose multiply-adds
differ by more than 5 % is marked and does not count. Printed for each model: multiply-adds of both,
the floor (our multiply-adds, three times as many in training, at the rate of the fastest product
measured here), seconds of a training step (forward, cross-entropy, backward, SGD) and of a
prediction under each of the settings with two ratios (above 1: ours is faster), to theirs under the
same settings and to theirs as it is by default; for a float32 step, what autograd keeps until the
backward pass, and the peak of memory, each in a process of its own, of which runs differ by 4 %.
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
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.measuring import resident, seconds  # noqa: E402
from models import MODELS  # noqa: E402
from utils.device import autocast_dtype  # noqa: E402

CLASSES = 21
AS_THEIRS = {
    "DeepLabV3Plus": {"decoder_convs": 1},
    "PSPNet": {"use_aux": False},
    "UPerNet": {"dropout": 0},
}
NAMES = ("UNet", "FPN", "DeepLabV3Plus", "PSPNet", "UPerNet")


class First(nn.Module):
    """Our model with its one output as a tensor, as theirs gives it."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)["out"]


def ours(name: str, backbone: str) -> nn.Module:
    args = {"backbone": backbone, **AS_THEIRS.get(name, {})}
    return First(MODELS.build({"type": name, "args": args}, out_channels=CLASSES))


def theirs(name: str, backbone: str) -> nn.Module:
    import segmentation_models_pytorch as smp

    common = {"encoder_weights": None, "classes": CLASSES}
    builders: dict[str, Callable[[], nn.Module]] = {
        "UNet": lambda: smp.Unet(backbone, **common),
        "FPN": lambda: smp.FPN(backbone, **common),
        "DeepLabV3Plus": lambda: smp.DeepLabV3Plus(backbone, encoder_output_stride=16, **common),
        "PSPNet": lambda: dilated(smp.PSPNet(backbone, encoder_depth=5, upsampling=8, **common)),
        "UPerNet": lambda: smp.UPerNet(backbone, **common),
    }
    return builders[name]()


def dilated(model: nn.Module) -> nn.Module:
    """Its PSPNet cuts the encoder at stride 8; the paper dilates it to there, as ours."""
    model.encoder.make_dilated(output_stride=8)
    return model


SIDES = {"ours": ours, "theirs": theirs}


class Case:
    """One model on one machine, ready to take steps.

    Args:
        model: As built.
        image: (B, 3, H, W).
        dtype: Of autocast; None for float32.
        channels_last: Memory format of weights and image.
    """

    def __init__(
        self, model: nn.Module, image: Tensor, dtype: torch.dtype | None, channels_last: bool
    ):
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.model = model.to(image.device).to(memory_format=layout)
        self.image = image.contiguous(memory_format=layout)
        self.target = torch.randint(0, CLASSES, (image.shape[0], *image.shape[-2:])).to(
            image.device
        )
        self.dtype = dtype
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3, momentum=0.9)

    def autocast(self) -> torch.autocast:
        return torch.autocast(
            self.image.device.type, self.dtype or torch.bfloat16, enabled=self.dtype is not None
        )

    def train(self) -> None:
        self.model.train()
        with self.autocast():
            scores = self.model(self.image)
        F.cross_entropy(scores.float(), self.target).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def predict(self) -> None:
        self.model.eval()
        with torch.inference_mode(), self.autocast():
            self.model(self.image)


def alternate(works: list[Callable[[], None]], rounds: int, device: str) -> list[list[float]]:
    """Seconds of each work in each round, the first of which, a warm-up, is left out. Every other
    round goes backward, so that none is always the first of two."""
    times = []
    for number in range(rounds + 1):
        order = slice(None, None, -1 if number % 2 else 1)
        times.append([seconds(work, device) for work in works[order]][order])
    return [list(column) for column in zip(*times[1:], strict=True)]


def gmacs(name: str, side: str, args: argparse.Namespace) -> float:
    with torch.device("meta"):
        model = SIDES[side](name, args.backbone).eval()
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            model(torch.empty(1, 3, args.size, args.size))
    return counter.get_total_flops() / 2e9


def product_rate(device: str) -> float:
    """Multiply-adds a second of the faster of a large matrix product and a wide convolution."""
    a = torch.rand(4096, 4096, device=device)
    conv = nn.Conv2d(256, 256, 3, padding=1, bias=False, device=device).to(
        memory_format=torch.channels_last
    )
    x = torch.rand(4, 256, 64, 64, device=device).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        product = min(seconds(lambda: a @ a, device) for _ in range(5))
        convolution = min(seconds(lambda: conv(x), device) for _ in range(10))
    return max(4096**3 / product, 9 * 256 * 256 * 4 * 64 * 64 / convolution)


def settings_on(device: str) -> dict[str, tuple[torch.dtype | None, bool]]:
    """Precision and channels_last by name; the last are those the docs recommend, `amp: true`."""
    fast = autocast_dtype(True, torch.device(device))
    return {
        "float32": (None, False),
        "float32, channels_last": (None, True),
        f"{str(fast or torch.float32).removeprefix('torch.')}, channels_last": (fast, True),
    }


def compare(name: str, rate: float, args: argparse.Namespace) -> str:
    image = torch.rand(args.batch, 3, args.size, args.size, device=args.device)
    cases = [
        Case(SIDES[side](name, args.backbone), image, *settings)
        for settings in settings_on(args.device).values()
        for side in SIDES
    ]
    macs = gmacs(name, "ours", args), gmacs(name, "theirs", args)
    counts = abs(macs[0] / macs[1] - 1) <= 0.05
    lines = [
        f"{name}: {macs[0]:.2f} GMACs an image, theirs {macs[1]:.2f}"
        + ("" if counts else "  (differ by more than 5 %: the row does not count)")
    ]
    for what, passes in (("train", 3), ("predict", 1)):
        columns = alternate([getattr(case, what) for case in cases], args.rounds, args.device)
        floor = macs[0] * 1e9 * args.batch * passes / rate
        lines.append(f"  {what}, floor in float32 {floor:.3f} s")
        default = columns[1]
        for number, settings in enumerate(settings_on(args.device)):
            mine, theirs = columns[2 * number], columns[2 * number + 1]
            lines.append(
                f"    {settings:22} {statistics.median(mine):.3f} s, theirs "
                f"{statistics.median(theirs):.3f} s: ratio {spread(theirs, mine)}, "
                f"to its default {spread(default, mine)}"
            )
    if args.memory:
        a, b = (kept_for_backward(name, side, args) for side in SIDES)
        lines.append(f"  memory: kept for the backward pass {a:.1f} MB, theirs {b:.1f} MB")
        a, b = (peak_memory(name, side, args) for side in SIDES)
        lines.append(f"  memory: peak of a training step {a:.0f} MB, theirs {b:.0f} MB")
    return "\n".join(lines)


def spread(theirs: list[float], mine: list[float]) -> str:
    """Median ratio of the rounds, and their second smallest and largest, of one or two the ends."""
    ratios = sorted(b / a for a, b in zip(mine, theirs, strict=True))
    inner = ratios[1:-1] or ratios
    return f"{statistics.median(ratios):.2f} ({inner[0]:.2f} to {inner[-1]:.2f})"


def kept_for_backward(name: str, side: str, args: argparse.Namespace) -> float:
    """MB of the tensors that autograd keeps in the forward pass, the weights left out."""
    model = SIDES[side](name, args.backbone).to(args.device).train()
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    image = torch.rand(args.batch, 3, args.size, args.size, device=args.device)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        scores = model(image)  # held here, or a freed storage's address would be counted again
    del scores
    return sum(size for address, size in kept.items() if address not in weights) / 2**20


def peak_memory(name: str, side: str, args: argparse.Namespace) -> float:
    """MB that two training steps add to what imports and weights take, in a fresh process."""
    words = [f"--backbone={args.backbone}", f"--size={args.size}", f"--batch={args.batch}"]
    words += [f"--device={args.device}", f"--measure={side}", f"--models={name}"]
    command = [sys.executable, __file__, *words]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(name: str, side: str, args: argparse.Namespace) -> float:
    image = torch.rand(args.batch, 3, args.size, args.size, device=args.device)
    case = Case(SIDES[side](name, args.backbone), image, None, False)
    if args.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        before = resident("VmRSS")
    for _ in range(2):
        case.train()
    if args.device == "cuda":
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    return (resident("VmHWM") - before) / 2**20


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--models", nargs="*", default=NAMES, choices=NAMES)
    add("--backbone", default="resnet34")
    add("--size", type=int, default=256, help="height and width in pixels")
    add("--batch", type=int, default=4)
    add("--rounds", type=int, default=7)
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--no-memory", dest="memory", action="store_false")
    add("--measure", choices=list(SIDES), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    if arguments.rounds < 1:
        raise SystemExit(f"--rounds {arguments.rounds}: at least 1 is needed")
    torch.manual_seed(0)
    if arguments.measure:
        print(measure(arguments.models[0], arguments.measure, arguments))
        raise SystemExit
    try:
        import segmentation_models_pytorch as peer
    except ImportError as error:
        raise SystemExit(
            "the peer is not installed: pip install -r benchmarks/requirements.txt"
        ) from error

    where = torch.cuda.get_device_name() if arguments.device == "cuda" else platform.processor()
    print(
        f"{where or platform.machine()}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}, segmentation_models.pytorch {peer.__version__}"
        f"\n{arguments.backbone}, batch {arguments.batch}, {arguments.size}x{arguments.size}, "
        f"median of {arguments.rounds} alternating rounds\n"
    )
    reached = product_rate(arguments.device)
    print(f"the fastest float32 product here: {reached / 1e9:.0f} GMACs a second\n")
    for model_name in arguments.models:
        print(compare(model_name, reached, arguments), flush=True)
