"""Train what a JSON file describes."""

from __future__ import annotations

import argparse
import functools
import logging
import sys
from contextlib import closing
from pathlib import Path

import torch

from base.base_dataset import BaseDataset
from base.base_trainer import BaseTrainer
from base.parts import Parts
from dataloaders import make_dataset, make_loader, require_alike, skips_errors
from dataloaders.check import check_dataset
from models import MODELS, rebuild
from models.init_from import start_from
from trainer import TRAINERS
from utils import catalogue, checkpoint
from utils.clustering import LABELERS
from utils.clustering.labeler import output_of
from utils.command import add_common_options, import_packages, run
from utils.config import read_config
from utils.device import autocast_dtype, choose_devices
from utils.distributed import is_main, joined, launch, launcher, require_agreement, together
from utils.engine.network import with_synch_bn
from utils.engine.preview import Preview, make_score_batch
from utils.engine.reporter import Reporter
from utils.engine.resume import QUICKSTART, Start, choose_start
from utils.engine.run_folder import NoFolder, open_folder
from utils.engine.run_length import run_length
from utils.engine.sweep import grid, require_score, run_sweep
from utils.engine.trial import try_shapes
from utils.errors import UserError
from utils.evaluate import evaluate
from utils.interrupt import telling_the_way_on
from utils.losses import WeightedSum
from utils.metrics import metric_of
from utils.notices import notices
from utils.optimizers import make_optimizer
from utils.predictors import PREDICTORS
from utils.schedulers import SCHEDULERS
from utils.scoring import make_postprocess, with_defaults
from utils.seed import part_ways, seed_everything
from utils.targets import require_targets

log = logging.getLogger("segforge")


def build(start: Start, devices: list[torch.device]) -> BaseTrainer:
    """A trainer, every part of it built and tried against the data; all processes build one."""
    with together():
        parts, section = build_parts(start, devices)
    trainer = TRAINERS.build(section, parts=parts)
    with together():
        if start.state is not None:
            with checkpoint.expected(start.source):
                trainer.resume(start.state)
    require_agreement(
        (trainer.iteration, trainer.order.length),
        "the processes would not train the same: (iteration to go on from, images of training) "
        "differ; let every machine see the same data and the same run folder",
    )
    return trainer


def build_parts(start: Start, devices: list[torch.device]) -> tuple[Parts, dict]:
    """What a trainer works with, and its section."""
    config, section, state = start.config, start.config["trainer"], start.state
    limit = 2 if section["smoke"] else section["overfit_batches"]
    if section["smoke"]:
        section = {**section, "epochs": 1, "iterations": None}
    seed_everything(config["seed"], section["deterministic"])
    train_set = make_dataset(
        config["train_loader"],
        config["ignore_index"],
        config["transforms"],
        training=True,
        seed=config["seed"],
    )
    config = with_defaults({**config, "ignore_index": train_set.ignore_index})
    checked = check_dataset(train_set, skips_errors(config["train_loader"]))
    train_loader = make_loader(config["train_loader"], train_set, True, config["seed"], limit)

    loss = WeightedSum(
        config["loss"], len(train_set.classes), train_set.ignore_index, checked.counts
    )
    sections = [*loss.reads, *config["metric"]]
    require_targets(sections, train_set.targets, type(train_set).__name__)
    identity = {
        "arch": config["arch"],
        "config": config,
        "classes": train_set.classes,
        "palette": train_set.palette,
        "normalization": train_set.normalization.state(),
        "channels": train_set.channels,
        "out_channels": loss.out_channels,
    }
    if state is not None:
        model = rebuild(identity)
        checkpoint.load_weights(model, state["state_dict"], start.source)
    else:
        model = MODELS.build(config["arch"], out_channels=loss.out_channels)
        if config["init_from"]:
            start_from(model, config["init_from"], identity)
    try_shapes(model, train_loader, loss, checked.extremes)

    if config["use_synch_bn"]:
        model = with_synch_bn(model, devices[0])
    loss, model = loss.to(devices[0]), model.to(devices[0])
    optimizer = make_optimizer(config["optimizer"], model)
    whole = config["trainer"]  # the schedule of a smoke run is the whole run's
    length = (whole["epochs"], whole["iterations"], whole["accumulate"])
    batches = train_loader.order.whole if whole["smoke"] else len(train_loader.order)
    try:
        _, steps = run_length(*length, batches)
        _, per_epoch = run_length(1, None, whole["accumulate"], batches)
    except ValueError as error:
        raise UserError(f"trainer: {error}") from error
    scheduler = config["lr_scheduler"] and SCHEDULERS.build(
        config["lr_scheduler"], optimizer=optimizer, total_steps=steps, steps_per_epoch=per_epoch
    )
    validate, names, draw = make_validation(config, train_set, loss, devices[0], limit)
    score_batch = make_score_batch(LABELERS.build(config["labeler"]), config["metric"], train_set)
    parts = Parts(
        model=model,
        loss=loss,
        optimizer=optimizer,
        scheduler=scheduler,
        train_loader=train_loader,
        validate=validate,
        score_names=names,
        reporter=Reporter(draw, score_batch),
        devices=devices,
        identity=identity,
    )
    part_ways(config["seed"])
    return parts, section


def make_validation(
    config: dict, train_set: BaseDataset, loss: WeightedSum, device: torch.device, limit: int
) -> tuple:
    """validate(model), the names of its scores, and draw(model); nothing without a val_loader."""
    if not config["val_loader"] or not config["trainer"]["val"]:
        return None, [], None
    dataset = make_dataset(
        config["val_loader"], train_set.ignore_index, normalization=train_set.normalization
    )
    require_alike(dataset, train_set.classes, train_set.channels, [*loss.reads, *config["metric"]])
    check_dataset(dataset, skips_errors(config["val_loader"]))
    labeler = LABELERS.build(config["labeler"])
    for name in labeler.scores:
        output_of(loss.heads, name)  # raises where no loss trains it
    predictor = PREDICTORS.build(config["predictor"], scores=labeler.scores)
    metric = metric_of(config["metric"], dataset)
    metric.check_outputs(loss.heads)
    dtype = autocast_dtype(config["trainer"]["amp"], device)
    scored = config["metric"][0]["target"]
    postprocess = make_postprocess(config["postprocess"], dataset.classes, scored, labeler.scores)
    validate = functools.partial(
        evaluate,
        loader=make_loader(config["val_loader"], dataset, False, limit=limit),
        predictor=predictor,
        labeler=labeler,
        metric=metric,
        device=device,
        loss=loss,
        dtype=dtype,
        postprocess=postprocess,
    )
    draw = Preview(dataset, predictor, labeler, device, dtype, postprocess, loss.sections, scored)
    return validate, ["val_loss", *metric.compute()], draw


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    if args.list or args.describe:
        print(catalogue.describe(args.describe) if args.describe else catalogue.overview())
        return
    with joined():
        if not args.sweep:
            train(args, args.resume, args.set)
            return
        with together():
            if args.resume:
                raise UserError("--sweep goes on by itself where it stopped; leave -r out")
            points = grid(args.sweep)
            config = read_config(args.config or QUICKSTART, args.set)
            require_score(config)
        run_sweep(
            points,
            config["name"],
            lambda point: train(args, "auto", [*args.set, *point], exactly=True),
        )


def train(
    args: argparse.Namespace, resume: str | None, overrides: list[str], exactly: bool = False
) -> dict:
    """Train as one process, or as one of several; the best of the monitored score by name."""
    with together():
        start = choose_start(args.config, resume, overrides, exactly)
        devices = choose_devices(start.config["n_gpu"], args.device)
    if len(devices) > 1 and start.config["use_synch_bn"]:
        raise SystemExit(launch(len(devices), [sys.argv[0], *args.words]))
    for notice in notices(start.config, devices, fresh=start.state is None):
        log.info("note: %s", notice)
    trainer = build(start, devices)
    trainer.command = command_of(args)
    if args.check:
        with telling_the_way_on(trainer.command, None):
            trainer.try_step()
        log.info("the config, its data and one training step are fine")
        return {}
    with together():
        folder = NoFolder()
        if is_main():
            place = (trainer.save_dir, start.folder, trainer.iteration, trainer.validated_at)
            folder = open_folder(trainer.identity["config"], *place)
            if start.folder is None or trainer.iteration < trainer.total:
                folder.save_config(trainer.identity["config"])
    with telling_the_way_on(trainer.command, folder.path), closing(folder):
        best = trainer.fit(folder)
    for key, value in best.items():
        score = "-" if value is None else f"{value:.4f}"
        file = folder.path / "best_model.pth" if is_main() else Path()
        log.info("best %s %s in %s", key, score, file if file.exists() else "the run before")
    return best


def command_of(args: argparse.Namespace) -> str:
    """The command line that goes on with a run: this one's packages and devices."""
    options = [f"--import {name}" for name in args.imports]
    options += [f"-d {args.device}"] if args.device else []
    return " ".join([launcher(), "train.py", *options])


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_options(parser)
    add = parser.add_argument
    add("-c", "--config", help="JSON file of the run (configs/quickstart.json)")
    resume = "go on from a checkpoint, or from the newest of this config's runs"
    add("-r", "--resume", metavar="CHECKPOINT|auto", help=resume)
    override = "override a value of the config; may be given again"
    add("--set", action="append", default=[], metavar="a.b=value", help=override)
    grid_of = "train every combination of such values, one run after another; may be given again"
    add("--sweep", action="append", default=[], metavar="a.b=[value,...]", help=grid_of)
    add("--check", action="store_true", help="check config and data, run one step, and stop")
    add("--list", action="store_true", help="list every name a config may use")
    add("--describe", metavar="NAME", help="explain one of those names")
    args = parser.parse_args(argv)
    args.words = sys.argv[1:] if argv is None else argv
    return args


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
