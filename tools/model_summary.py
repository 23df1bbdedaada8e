"""Print a model's parameters, multiply-adds, activation memory, stride and receptive field."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402, F401 - registers everything a config may name
from dataloaders.factory import class_count  # noqa: E402
from models import MODELS, untrained  # noqa: E402
from models.blocks.heads import OutChannels, by_name  # noqa: E402
from utils.command import import_packages, run  # noqa: E402
from utils.config import filled, read_arch  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.losses import WeightedSum  # noqa: E402
from utils.model_size import ModelSize, model_size  # noqa: E402
from utils.registry import parameters  # noqa: E402


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    if not (args.config or args.arch or args.set):
        raise UserError("name a model: --arch UNet, or -c CONFIG")
    config = read_arch(args.config, args.set, args.arch)
    section = untrained(MODELS.resolve(config["arch"]))
    size = parse_size(args.input_size)
    for option in ("classes", "depth"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise UserError(f"--{option} {value}: at least 1 is needed")
    if size[0] != 3:
        tell_channels(section, size[0])
    channels = output_channels(config, args.classes)
    with torch.device("meta"):
        model = MODELS.build(section, out_channels=channels)
    if model.in_channels != size[0]:
        raise UserError(
            f"--input-size {args.input_size}: the model reads {model.in_channels} channels"
        )
    outputs = ", ".join(f"{count} {name}" for name, count in by_name(channels).items())
    print(f"{section['type']}, channels: {outputs}; one image of {args.input_size}, float32")
    print(table(model_size(model, size, args.depth)))


def tell_channels(section: dict, channels: int) -> None:
    """Put the image's channels, in place, into the section of the model that takes them."""
    inner = section["args"].get("model")
    if isinstance(inner, dict):  # of a model around another
        section["args"]["model"] = MODELS.resolve(inner)
        tell_channels(section["args"]["model"], channels)
    elif "in_channels" in parameters(MODELS[section["type"]]):
        section["args"].setdefault("in_channels", channels)


def output_channels(config: dict, classes: int | None) -> OutChannels:
    """What the config's loss reads, as in training; the classes where there is no config.

    Args:
        config: As read.
        classes: In place of those of the data set.
    """
    if "train_loader" not in config:
        return classes or 21
    count = classes or class_count(config["train_loader"])
    if count is None:
        raise UserError(
            f"{config['train_loader']['type']} tells its classes only when it is read; give their "
            "number with --classes"
        )
    full = filled(config)
    return WeightedSum(full["loss"], count, -1, [1] * count).out_channels


def parse_size(text: str) -> tuple[int, int, int]:
    numbers = text.split(",")
    if len(numbers) != 3 or not all(n.strip().isdigit() and int(n) > 0 for n in numbers):
        raise UserError(f"--input-size {text}: write channels,height,width, such as 3,512,1024")
    channels, height, width = map(int, numbers)
    if min(height, width) < 64:
        raise UserError(f"--input-size {text}: height and width are at least 64")
    return channels, height, width


def table(size: ModelSize) -> str:
    """The figures as text: a row a block, then the sums."""
    width = max(24, *(len(block.name) for block in size.blocks))
    head = f"{'block':{width}} {'output':>14} {'parameters':>12} {'GMACs':>9} {'MiB':>9}"
    lines = [head, "-" * len(head)]
    for block in size.blocks:
        shape = "x".join(map(str, block.shape))
        lines.append(
            f"{block.name:{width}} {shape:>14} {block.parameters:>12,} {block.macs / 1e9:>9.3f} "
            f"{block.activations / 2**20:>9.1f}"
        )
    lines.append("-" * len(head))
    lines.append(
        f"{'all':{width}} {'':>14} {size.stored:>12,} {size.macs / 1e9:>9.3f} "
        f"{size.activations / 2**20:>9.1f}"
    )
    lines.append("MiB are of layers alone: results of functions (cat, interpolate) are left out")
    if size.executed != size.stored:
        lines.append(f"{size.executed:,} parameters run in prediction; aux heads, for one, do not")
    seen = f"{size.receptive_field} pixels" if size.receptive_field else "not known"
    lines.append(f"deepest stride {size.stride} pixels, receptive field of c5 {seen}")
    return "\n".join(lines)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("-c", "--config", help="take the model of this config")
    add("--arch", help="name of a model, with its defaults")
    override_help = "override a value, such as arch.args.backbone=resnext50; may be given again"
    add("--set", action="append", default=[], metavar="a.b=value", help=override_help)
    add("--classes", type=int, help="classes, in place of those of the config's data set (21)")
    add("--input-size", default="3,512,512", help="channels,height,width (3,512,512)")
    add("--depth", type=int, default=2, help="levels of modules to list (2)")
    add("--import", dest="imports", action="append", default=[], metavar="PACKAGE")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
