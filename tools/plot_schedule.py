"""Draw the learning rates, and the momentum, that a config gives over its run."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402, F401 - registers everything a config may name
from models import MODELS, untrained  # noqa: E402
from utils.command import import_packages, run  # noqa: E402
from utils.config import read_config  # noqa: E402
from utils.engine.run_length import run_length  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.optimizers import make_optimizer  # noqa: E402
from utils.schedulers import SCHEDULERS  # noqa: E402

log = logging.getLogger("segforge")

BATCHES = 100  # of an epoch, where nobody says how many

Curves = dict[str, list[float]]


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    config = read_config(args.config, args.set)
    if not args.output.parent.is_dir():
        raise UserError(f"--output {args.output}: there is no folder {args.output.parent}")
    if args.output.suffix.lower() != ".png":
        raise UserError(f"--output {args.output}: it is a PNG; give a name that ends in .png")
    for option, value in (("--steps", args.steps), ("--steps-per-epoch", args.steps_per_epoch)):
        if value is not None and value < 1:
            raise UserError(f"{option} is {value}; 1 is the least")
    batches = args.steps_per_epoch or BATCHES
    steps, per_epoch = length(config["trainer"], args.steps, batches)
    if args.steps_per_epoch is None:
        log.info(
            "note: %d batches an epoch are assumed, %d optimizer steps; --steps-per-epoch says how "
            "many your data make",
            batches,
            per_epoch,
        )
    rates, momenta = curves(config, steps, per_epoch)
    title = f"{config['name']}: {(config['lr_scheduler'] or {'type': 'no schedule'})['type']}"
    draw(alike(rates), alike(momenta), title, args.output)
    log.info("%d optimizer steps, %d an epoch, drawn to %s", steps, per_epoch, args.output)


def length(section: dict, steps: int | None, batches: int) -> tuple[int, int]:
    """Optimizer steps of the run and of an epoch, for so many batches an epoch."""
    accumulate = section["accumulate"]
    try:
        _, total = run_length(section["epochs"], section["iterations"], accumulate, batches)
    except ValueError as error:
        raise UserError(f"trainer: {error}") from error
    return steps or total, run_length(1, None, accumulate, batches)[1]


def curves(config: dict, steps: int, per_epoch: int) -> tuple[Curves, Curves]:
    """Rate and momentum of each parameter group at each step."""
    with torch.device("meta"):  # names and sizes alone
        model = MODELS.build(untrained(config["arch"]), out_channels=2)
    optimizer = make_optimizer(config["optimizer"], model)
    scheduler = config["lr_scheduler"] and SCHEDULERS.build(
        config["lr_scheduler"], optimizer=optimizer, total_steps=steps, steps_per_epoch=per_epoch
    )
    if scheduler and scheduler.follows_score:
        log.info("note: it falls by the scores, which only a run has; drawn as if it never did")
    rates: Curves = {group["name"]: [] for group in optimizer.param_groups}
    momenta: Curves = {}
    for _ in range(steps):
        for group in optimizer.param_groups:
            rates[group["name"]].append(group["lr"])
            momentum = group["betas"][0] if "betas" in group else group.get("momentum")
            if momentum is not None:
                momenta.setdefault(group["name"], []).append(momentum)
        if scheduler:
            with warnings.catch_warnings(action="ignore"):  # that the optimizer has not stepped
                scheduler.step()
    return rates, momenta


def alike(curves: Curves) -> Curves:
    """Groups with the same curve as one, under all their names."""
    names: dict[tuple, list[str]] = {}
    for name, curve in curves.items():
        names.setdefault(tuple(curve), []).append(name.removesuffix("_no_decay"))
    return {", ".join(dict.fromkeys(shared)): list(curve) for curve, shared in names.items()}


def draw(rates: Curves, momenta: Curves, title: str, path: Path) -> None:
    """Rates, and below them the momenta if there are any, as a PNG of 900 x 400 pixels."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(9, 4), dpi=100, layout="constrained")
    panels = {"learning rate": rates, "momentum\n(beta1)": momenta}
    panels = {label: lines for label, lines in panels.items() if lines}
    ratios = [2, 1][: len(panels)]
    axes = figure.subplots(len(panels), sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    for axis, (label, lines) in zip(axes, panels.items(), strict=True):
        for name, line in lines.items():
            axis.plot(line, label=name, linewidth=1.5)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.margins(x=0.01)
        if len(lines) > 1:
            axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    axes[0].set_ylim(bottom=0)
    axes[0].set_title(title)
    axes[-1].set_xlabel("optimizer step")
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise UserError(f"--output {path} cannot be written: {error.strerror}") from error


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("-c", "--config", required=True, help="JSON file of the run; its data are not needed")
    override = "override a value of the config; may be given again"
    add("--set", action="append", default=[], metavar="a.b=value", help=override)
    add("--output", type=Path, default=Path("schedule.png"), help="the picture (schedule.png)")
    add("--steps", type=int, help="optimizer steps of the run, in place of the config's length")
    add("--steps-per-epoch", type=int, help=f"batches of an epoch ({BATCHES})")
    add("--import", dest="imports", action="append", default=[], metavar="PACKAGE")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
