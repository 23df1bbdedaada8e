"""Train what a JSON file describes."""

from __future__ import annotations

import argparse
import functools
import logging
import os
from pathlib import Path

import torch

from base.base_trainer import Parts
from dataloaders import make_dataset, make_loader
from dataloaders.check import check_dataset
from models import MODELS, rebuild
from trainer import TRAINERS
from utils import catalogue, checkpoint
from utils.clustering import LABELERS
from utils.command import import_packages, run
from utils.config import check, difference, filled, override, read_config
from utils.device import autocast_dtype, choose_devices
from utils.errors import UserError
from utils.evaluate import evaluate
from utils.losses import WeightedSum
from utils.metrics import MetricGroup
from utils.notices import notices
from utils.optimizers import make_optimizer
from utils.predictors import PREDICTORS
from utils.preview import make_preview, make_score_batch
from utils.reporter import Reporter
from utils.run_folder import RunFolder, new_run_folder
from utils.run_length import run_length
from utils.schedulers import SCHEDULERS
from utils.scoring import make_postprocess, with_defaults
from utils.seed import seed_everything
from utils.trial import try_shapes

log = logging.getLogger("segforge")


def build(config: dict, devices: list[torch.device], state: dict | None = None):
    """A trainer for a config, every part built and tried against the data.

    Args:
        config: From `read_config`.
        devices: The first leads.
        state: Checkpoint to go on from.
    """
    seed_everything(config["seed"], config["trainer"].get("deterministic", False))
    ignore, seed = config["ignore_index"], config["seed"]
    train_set = make_dataset(config["train_loader"], ignore, config["transforms"], True, seed=seed)
    counts = check_dataset(train_set)
    train_loader = make_loader(config["train_loader"], train_set, True, seed)

    config = with_defaults({**config, "ignore_index": train_set.ignore_index})
    loss = WeightedSum(config["loss"], len(train_set.classes), train_set.ignore_index, counts)
    loss = loss.to(devices[0])
    if state is None:
        model = MODELS.build(config["arch"], out_channels=loss.out_channels)
    else:
        model = rebuild({**state, "out_channels": loss.out_channels, "arch": config["arch"]})
        checkpoint.load_weights(model, state["state_dict"], "the checkpoint")
    try_shapes(model, train_loader, loss.out_channels)
    model = model.to(devices[0])
    optimizer = make_optimizer(config["optimizer"], model)
    section = config["trainer"]
    try:
        _, steps = run_length(
            section.get("epochs"),
            section.get("iterations"),
            section.get("accumulate", 1),
            len(train_loader.order),
        )
    except ValueError as error:
        raise UserError(f"trainer: {error}") from error
    scheduler = config["lr_scheduler"] and SCHEDULERS.build(
        config["lr_scheduler"], optimizer=optimizer, total_steps=steps
    )

    labeler = LABELERS.build(config["labeler"])
    metric = MetricGroup(
        config["metric"], len(train_set.classes), train_set.ignore_index, train_set.classes
    )
    validate, draw, names = None, None, []
    if config["val_loader"] and section.get("val", True):
        val_set = make_dataset(
            config["val_loader"],
            train_set.ignore_index,
            normalization=train_set.normalization,
            seed=seed,
        )
        check_dataset(val_set)
        predictor = PREDICTORS.build(config["predictor"])
        dtype = autocast_dtype(section.get("amp", False), devices[0])
        validate = functools.partial(
            evaluate,
            loader=make_loader(config["val_loader"], val_set, False, seed),
            predictor=predictor,
            labeler=labeler,
            metric=metric,
            device=devices[0],
            loss=loss,
            dtype=dtype,
            postprocess=make_postprocess(config["postprocess"]),
        )
        draw = make_preview(val_set, predictor, labeler, devices[0], dtype)
        names = ["val_loss", *metric.compute()]
    identity = {
        "arch": config["arch"],
        "config": config,
        "classes": train_set.classes,
        "palette": train_set.palette,
        "normalization": train_set.normalization.state(),
        "channels": train_set.channels,
        "out_channels": loss.out_channels,
    }
    built = TRAINERS.build(
        section,
        parts=Parts(
            model,
            loss,
            optimizer,
            scheduler,
            train_loader,
            validate,
            names,
            Reporter(draw, make_score_batch(labeler, config["metric"], train_set)),
            devices,
            identity,
        ),
    )
    if state is not None:
        built.resume(state)
    return built


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    if args.list or args.describe:
        print(catalogue.describe(args.describe) if args.describe else catalogue.overview())
        return
    config, state, folder = choose_run(args)
    devices = choose_devices(config["n_gpu"], args.device)
    for notice in notices(config):
        log.info("note: %s", notice)
    trainer = build(config, devices, state)
    if args.check:
        trainer.try_step()
        log.info(
            "%s: the config, its data and one training step are fine", args.config or args.resume
        )
        return
    folder = folder or new_run_folder(trainer.save_dir, config["name"])
    run_folder = RunFolder(folder, events_folder(config, folder), trainer.iteration)
    run_folder.save_config(trainer.identity["config"])
    log.info("run folder %s; watch it with: tensorboard --logdir %s", folder, trainer.save_dir)
    try:
        best = trainer.fit(run_folder)
    finally:
        run_folder.close()
    for key, value in best.items():
        log.info(
            "best %s %s in %s",
            key,
            "-" if value is None else f"{value:.4f}",
            folder / "best_model.pth",
        )


def choose_run(args: argparse.Namespace) -> tuple[dict, dict | None, Path | None]:
    """The config, the checkpoint's state to go on from, and the folder to go on in."""
    if args.resume is None:
        return read_config(args.config or "configs/quickstart.json", args.set), None, None
    config = read_config(args.config, args.set) if args.config else None
    if args.resume == "auto":
        config = config or read_config("configs/quickstart.json", args.set)
        path = newest(config)
        if path is None:
            log.info("-r auto: %s has no checkpoint yet, so the run starts afresh", config["name"])
            return config, None, None
        log.info("-r auto: going on from %s", path)
    else:
        path = Path(args.resume)
    state = checkpoint.load_run(path)
    if config is None:
        config = dict(state["config"])
        for text in args.set:
            override(config, text)
        check(config, str(path))
        config = filled(config)
    for line in difference(
        state["config"], with_defaults({**config, "ignore_index": state["config"]["ignore_index"]})
    ):
        log.info("changed since the checkpoint: %s", line)
    same_folder = args.config is None or args.resume == "auto"
    return config, state, path.parent if same_folder else None


def newest(config: dict) -> Path | None:
    """The newest checkpoint of this config's runs that loads."""
    runs = Path(config["trainer"].get("save_dir", "saved/")) / config["name"]
    for path in sorted(runs.glob("*/last.pth"), key=lambda p: p.stat().st_mtime, reverse=True):
        try:
            checkpoint.load_run(path)
            return path
        except UserError as error:
            log.warning("%s", error)
    return None


def events_folder(config: dict, folder: Path) -> Path | None:
    if not config["trainer"].get("tensorboard", True):
        return None
    log_dir = config["trainer"].get("log_dir")
    return Path(log_dir) / config["name"] / folder.name if log_dir else folder


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-c", "--config", help="JSON file of the run (configs/quickstart.json)")
    parser.add_argument(
        "-r",
        "--resume",
        metavar="CHECKPOINT|auto",
        help="go on from a checkpoint, or from the newest of this config's runs",
    )
    parser.add_argument("-d", "--device", help='"cpu", or GPU numbers such as 0,1')
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="a.b=value",
        help="override a value of the config; may be given again",
    )
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="import a package that registers classes of your own",
    )
    parser.add_argument(
        "--check", action="store_true", help="check the config and the data, run one step, and stop"
    )
    parser.add_argument("--list", action="store_true", help="list every name a config may use")
    parser.add_argument("--describe", metavar="NAME", help="explain one of those names")
    return parser.parse_args(argv)


if __name__ == "__main__":
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
