"""Train what a JSON file describes."""

from __future__ import annotations

import argparse
import functools
import logging
from pathlib import Path

import torch

from base.base_dataset import BaseDataset
from base.base_trainer import BaseTrainer
from base.parts import Parts
from dataloaders import make_dataset, make_loader, require_alike
from dataloaders.check import check_dataset
from models import MODELS, rebuild
from models.init_from import start_from
from trainer import TRAINERS
from utils import catalogue, checkpoint
from utils.clustering import LABELERS
from utils.command import add_common_options, import_packages, run
from utils.device import autocast_dtype, choose_devices
from utils.errors import UserError
from utils.evaluate import evaluate
from utils.losses import WeightedSum
from utils.metrics import MetricGroup
from utils.notices import notices
from utils.optimizers import make_optimizer
from utils.predictors import PREDICTORS
from utils.preview import Preview, make_score_batch
from utils.reporter import Reporter
from utils.resume import Start, choose_start
from utils.run_folder import RunFolder, make_folder, new_run_folder
from utils.run_length import run_length
from utils.schedulers import SCHEDULERS
from utils.scoring import make_postprocess, with_defaults
from utils.seed import seed_everything
from utils.targets import require_targets
from utils.trial import try_shapes

log = logging.getLogger("segforge")


def build(start: Start, devices: list[torch.device]) -> BaseTrainer:
    """A trainer, every part of it built and tried against the data."""
    config, section, state = start.config, start.config["trainer"], start.state
    seed_everything(config["seed"], section["deterministic"])
    train_set = make_dataset(
        config["train_loader"],
        config["ignore_index"],
        config["transforms"],
        training=True,
        seed=config["seed"],
    )
    config = with_defaults({**config, "ignore_index": train_set.ignore_index})
    counts = check_dataset(train_set)
    train_loader = make_loader(config["train_loader"], train_set, True, config["seed"])

    loss = WeightedSum(config["loss"], len(train_set.classes), train_set.ignore_index, counts)
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
    try_shapes(model, train_loader, loss.out_channels)

    loss, model = loss.to(devices[0]), model.to(devices[0])
    optimizer = make_optimizer(config["optimizer"], model)
    length = (section["epochs"], section["iterations"], section["accumulate"])
    try:
        _, steps = run_length(*length, len(train_loader.order))
        _, per_epoch = run_length(1, None, section["accumulate"], len(train_loader.order))
    except ValueError as error:
        raise UserError(f"trainer: {error}") from error
    scheduler = config["lr_scheduler"] and SCHEDULERS.build(
        config["lr_scheduler"], optimizer=optimizer, total_steps=steps, steps_per_epoch=per_epoch
    )
    validate, names, draw = make_validation(config, train_set, loss, devices[0])
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
    trainer = TRAINERS.build(section, parts=parts)
    if state is not None:
        trainer.resume(state)
    return trainer


def make_validation(
    config: dict, train_set: BaseDataset, loss: WeightedSum, device: torch.device
) -> tuple:
    """validate(model), the names of its scores, and draw(model); nothing without a val_loader."""
    if not config["val_loader"] or not config["trainer"]["val"]:
        return None, [], None
    dataset = make_dataset(
        config["val_loader"], train_set.ignore_index, normalization=train_set.normalization
    )
    require_alike(dataset, train_set.classes, train_set.channels, [*loss.reads, *config["metric"]])
    check_dataset(dataset)
    labeler = LABELERS.build(config["labeler"])
    predictor = PREDICTORS.build(config["predictor"], scores=labeler.scores)
    metric = MetricGroup(
        config["metric"], len(dataset.classes), dataset.ignore_index, dataset.classes
    )
    dtype = autocast_dtype(config["trainer"]["amp"], device)
    postprocess = make_postprocess(config["postprocess"], dataset.classes)
    validate = functools.partial(
        evaluate,
        loader=make_loader(config["val_loader"], dataset, False),
        predictor=predictor,
        labeler=labeler,
        metric=metric,
        device=device,
        loss=loss,
        dtype=dtype,
        postprocess=postprocess,
    )
    scored = config["metric"][0]["target"]
    draw = Preview(dataset, predictor, labeler, device, dtype, postprocess, loss.sections, scored)
    return validate, ["val_loss", *metric.compute()], draw


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    if args.list or args.describe:
        print(catalogue.describe(args.describe) if args.describe else catalogue.overview())
        return
    start = choose_start(args.config, args.resume, args.set)
    devices = choose_devices(start.config["n_gpu"], args.device)
    for notice in notices(start.config, fresh=start.state is None):
        log.info("note: %s", notice)
    trainer = build(start, devices)
    trainer.command = command_of(args)
    if args.check:
        trainer.try_step()
        log.info("the config, its data and one training step are fine")
        return
    log_dir = start.config["trainer"]["log_dir"]
    if log_dir:
        make_folder(Path(log_dir), "trainer.log_dir")
    if start.folder:
        make_folder(start.folder, "trainer.save_dir")
    folder = start.folder or new_run_folder(trainer.save_dir, start.config["name"])
    events = events_folder(start.config, folder)
    run_folder = RunFolder(folder, events, trainer.iteration)
    run_folder.save_config(trainer.identity["config"])
    log.info("run folder %s", folder)
    if events is not None:
        log.info("curves: tensorboard --logdir %s", log_dir or trainer.save_dir)
    try:
        best = trainer.fit(run_folder)
    finally:
        run_folder.close()
    file = folder / "best_model.pth"
    for key, value in best.items():
        score = "-" if value is None else f"{value:.4f}"
        log.info("best %s %s in %s", key, score, file if file.exists() else "the run before")


def command_of(args: argparse.Namespace) -> str:
    """The command line that goes on with a run: this one's packages and devices."""
    words = [f"--import {name}" for name in args.imports]
    return " ".join(["python train.py", *words, *([f"-d {args.device}"] if args.device else [])])


def events_folder(config: dict, folder: Path) -> Path | None:
    """Where TensorBoard events go; None for nowhere."""
    if not config["trainer"]["tensorboard"]:
        return None
    log_dir = config["trainer"]["log_dir"]
    return Path(log_dir) / config["name"] / folder.name if log_dir else folder


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_options(parser)
    add = parser.add_argument
    add("-c", "--config", help="JSON file of the run (configs/quickstart.json)")
    resume = "go on from a checkpoint, or from the newest of this config's runs"
    add("-r", "--resume", metavar="CHECKPOINT|auto", help=resume)
    override = "override a value of the config; may be given again"
    add("--set", action="append", default=[], metavar="a.b=value", help=override)
    add("--check", action="store_true", help="check config and data, run one step, and stop")
    add("--list", action="store_true", help="list every name a config may use")
    add("--describe", metavar="NAME", help="explain one of those names")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
