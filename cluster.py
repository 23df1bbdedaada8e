"""Saved embeddings to instances: `python cluster.py --emb-dir outputs --clustering ms`."""

from __future__ import annotations

import argparse
import contextlib
import csv
import functools
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from base.base_metric import BaseMetric
from dataloaders.label_files import (
    TRUTH_NAMES,
    check_things,
    find_labels,
    read_foreground,
    read_truth,
    truth_names,
)
from utils.clustering import LABELERS
from utils.command import add_common_options, import_packages, run
from utils.config import override
from utils.device import choose_devices
from utils.embeddings_file import add_datasets, holds, read_map, read_told, stem_of
from utils.errors import UserError
from utils.metrics import METRICS
from utils.registry import parameters
from utils.schema import check_section
from utils.scoring import with_told
from utils.tables import number, score_table
from utils.targets import INSTANCE_IGNORE

log = logging.getLogger("segforge")

LABELER_NAMES = {
    "ms": "MeanShift",
    "msplus": "MeanShiftPlus",
    "hdbscan": "HDBSCAN",
    "density": "Density",
    "dbscan": "DBSCAN",
    "consistency": "Consistency",
}
SAVED_AS = {"out": "embeddings1", "teacher": "embeddings2"}
TAKEN = ("raw", "gt", "semantic", *SAVED_AS.values())
TUNABLE = ("delta_var", "delta_dist", "min_size", "remove_largest", "iou_threshold")


@dataclass
class Job:
    """What is done to one file: its name, truth and semantic mask, and how."""

    name: str
    path: Path
    truth: Path | None
    semantic: Path | None
    labeler: dict
    options: argparse.Namespace
    device: str


@dataclass
class Done:
    """What was added to a file, labels and truth (H, W), and whether its mask had any pixel."""

    labels: np.ndarray
    truth: np.ndarray | None
    looked: bool


def cluster_file(job: Job) -> Done:
    """Add the segmentation, and the truth where it is given, to a file."""
    options = job.options
    labeler = LABELERS.build(with_told(job.labeler, read_told(job.path)))
    outputs = {
        name: torch.from_numpy(read_map(job.path, SAVED_AS[name], "E, H, W"))[None].to(job.device)
        for name in labeler.reads()
    }
    size = tuple(outputs[labeler.output].shape[2:])
    mask = truth = None
    if job.semantic is not None:
        mask = read_foreground(job.semantic, options.ds_name, options.things_class)
        mask = of_size(mask, size, job.semantic)
    elif holds(job.path, "semantic"):
        mask = of_size(read_map(job.path, "semantic", "H, W") > 0, size, f"{job.path}: /semantic")
    if job.truth is not None:
        truth = of_size(read_truth(job.truth, options.things_class), size, job.truth)
    looked = mask is None or bool(mask.any())
    if options.gt_foreground:
        mask = (truth > 0) if mask is None else mask & (truth > 0)
    given = None if mask is None else torch.from_numpy(mask)[None]
    labels = labeler(outputs, given)[0].cpu().numpy()
    labels = labels.astype(np.uint16 if labels.max() < 2**16 else np.uint32)
    added = {options.output_dataset: labels}
    if truth is not None:
        added["gt"] = truth
    add_datasets(job.path, added)
    return Done(labels, truth, looked)


def of_size(labels: np.ndarray, size: tuple[int, int], name: Path | str) -> np.ndarray:
    if labels.shape != size:
        height, width = labels.shape
        raise UserError(
            f"{name} is {height}x{width}, the embedding {size[0]}x{size[1]}; predict images of the "
            "labels' size, or scale the labels"
        )
    return labels


def labeler_section(args: argparse.Namespace) -> dict:
    """The labeler's section in the words of a config, from the options that were given."""
    name = LABELER_NAMES[args.clustering]
    given = {key: getattr(args, key) for key in TUNABLE if getattr(args, key) is not None}
    takes = parameters(LABELERS[name])
    for key in given.keys() - takes.keys():
        log.info("note: --clustering %s has no --%s", args.clustering, key.replace("_", "-"))
    section = {"type": name, "args": {key: v for key, v in given.items() if key in takes}}
    for text in args.set:
        key = text.partition("=")[0]
        if key in given:
            raise UserError(f"--set {text} and --{key.replace('_', '-')}: give one of the two")
        override(section["args"], text)
    check_section(section, "labeler", f"--clustering {args.clustering}")
    return section


def check_options(args: argparse.Namespace) -> None:
    """Refuse what can be refused before a file is looked at."""
    if not args.emb_dir.is_dir():
        raise UserError(f"--emb-dir {args.emb_dir}: there is no such folder")
    check_things(args.things_class)
    if args.output_dataset.strip(".") == "" or "/" in args.output_dataset:
        raise UserError(
            f'--output-dataset "{args.output_dataset}": a name is needed, without a slash'
        )
    if args.output_dataset in TAKEN:
        raise UserError(f"--output-dataset {args.output_dataset} would replace what is predicted")
    if args.num_workers is not None and args.num_workers < 1:
        raise UserError(f"--num-workers {args.num_workers}: one process is the least")
    for flag in ("score", "gt_foreground"):
        if getattr(args, flag) and args.gt_dir is None:
            raise UserError(f"--{flag.replace('_', '-')} needs --gt-dir, the folder of label files")
    if args.ds_name == "cvppp" and args.things_class is not None and args.sem_dir is None:
        raise UserError(
            f"--things-class {args.things_class} with --ds-name cvppp: the leaves of CVPPP have no "
            "classes; leave it out, or give --sem-dir, semantic maps that have"
        )
    if args.gt_dir is None and args.sem_dir is None:
        if args.things_class is not None:
            raise UserError(
                f"--things-class {args.things_class} is read from label files; give --sem-dir, the "
                "folder of semantic maps, or --gt-dir"
            )
        if args.ds_name is not None:
            log.info("note: --ds-name says how label files are read, and there is no --gt-dir")


def told_by_first(paths: list[Path]) -> dict[str, float]:
    """What the loss tells in the first file that can be read."""
    for path in paths:
        with contextlib.suppress(UserError):
            return read_told(path)
    return {}


def find_jobs(args: argparse.Namespace, device: str) -> list[Job]:
    """A job for every file of the folder, everything they need found."""
    check_options(args)
    paths = sorted(args.emb_dir.rglob("*.h5"))
    if not paths:
        raise UserError(
            f"--emb-dir {args.emb_dir}: no .h5 file in it; inference.py --save embeddings writes "
            "them"
        )
    images = [path.relative_to(args.emb_dir).with_name(stem_of(path)) for path in paths]
    truths: list = [None] * len(paths)
    semantics: list = [None] * len(paths)
    if args.gt_dir is not None:
        names = functools.partial(truth_names, dataset=args.ds_name)
        truths = find_labels(args.gt_dir, images, names, "--gt-dir")
    if args.sem_dir is not None:
        semantics = find_labels(
            args.sem_dir, images, lambda stem: [f"{stem}_ids", stem], "--sem-dir"
        )
    section = labeler_section(args)
    labeler = LABELERS.build(with_told(section, told_by_first(paths)))  # refuses bad values
    for name in labeler.reads():
        if name not in SAVED_AS:
            raise UserError(f'there is no output "{name}" in the files, but {", ".join(SAVED_AS)}')
    names = [image.as_posix() for image in images]
    files = zip(names, paths, truths, semantics, strict=True)
    return [Job(*each, section, args, device) for each in files]


def in_parallel(jobs: list[Job], workers: int | None) -> Iterator[tuple[Job, Callable]]:
    """Each job with a call that gives its result or raises, as they are done.

    Processes times threads are at most the cores; on a GPU there is one process.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = min(workers or cores, cores, len(jobs)) if jobs[0].device == "cpu" else 1
    if workers == 1:
        yield from ((job, functools.partial(cluster_file, job)) for job in jobs)
        return
    setup = functools.partial(torch.set_num_threads, cores // workers)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=setup) as pool:
        futures = {pool.submit(cluster_file, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result
        finally:
            pool.shutdown(cancel_futures=True)


def score(labels: np.ndarray, truth: np.ndarray, metrics: list[BaseMetric]) -> None:
    maps = [torch.from_numpy(each.astype(np.int64))[None] for each in (labels, truth)]
    for metric in metrics:
        metric.update(*maps)


def make_metric() -> BaseMetric:
    return METRICS.build("InstanceScores", num_classes=2, ignore_index=INSTANCE_IGNORE)


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    device = choose_devices(1 if torch.cuda.is_available() else 0, args.device)[0]
    jobs = find_jobs(args, str(device))
    total = make_metric() if args.score else None
    rows: dict[str, dict[str, float]] = {}
    failed, looked = [], False
    done = in_parallel(jobs, args.num_workers)
    for job, result in tqdm(done, total=len(jobs), unit="img", desc="clustering", disable=None):
        try:
            found = result()
        except UserError as error:
            failed.append(f"{job.name}: {error}")
            continue
        looked |= found.looked
        if total is not None:
            one = make_metric()
            score(found.labels, found.truth, [one, total])
            rows[job.name] = one.compute()
    log.info(
        "/%s of %d of %d files in %s",
        *(args.output_dataset, len(jobs) - len(failed), len(jobs), args.emb_dir),
    )
    if not looked and len(failed) < len(jobs):
        what = args.things_class or "an object's class"
        log.warning("no pixel of %s in any of the %d masks", what, len(jobs) - len(failed))
    if rows:
        report(rows, total.compute(), args)
    if failed:
        raise UserError("these files could not be clustered:\n  " + "\n  ".join(sorted(failed)))


def report(rows: dict[str, dict], total: dict, args: argparse.Namespace) -> None:
    """Print a table of files, then all scores together; write both to scores.csv."""
    shown = [key for key in total if "/" not in key][:5]
    width = max(map(len, [*rows, "file"]))
    log.info("%s", "".join(["file".ljust(width), *(f"  {key:>10}" for key in shown)]))
    for name in sorted(rows):
        values = (number(rows[name][key]).rjust(max(len(key), 10)) for key in shown)
        log.info("%s", "  ".join([name.ljust(width), *values]))
    where = ", inside the foreground of the ground truth" if args.gt_foreground else ""
    log.info("all %d files%s:\n%s", len(rows), where, score_table(total))
    path = args.emb_dir / f"{args.output_dataset}_scores.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *total])
        for name, row in [*sorted(rows.items()), (f"all{where}", total)]:
            writer.writerow([name, *row.values()])
    log.info("every score in %s", path)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_options(parser)
    add = parser.add_argument
    folder = "folder of <stem>_predictions.h5 files, in folders below too"
    add("--emb-dir", required=True, type=Path, help=folder)
    add("--clustering", required=True, choices=list(LABELER_NAMES), help="the algorithm")
    add(
        "--ds-name",
        choices=list(TRUTH_NAMES),
        help="how label files are named and read (by the image's stem)",
    )
    add("--gt-dir", type=Path, help="label files; they are added as /gt")
    add("--sem-dir", type=Path, help="semantic label maps to look for objects in (/semantic)")
    add("--things-class", help="Cityscapes class, or the number of a class in --sem-dir's files")
    add("--delta-var", type=float, help="radius of an instance (as the network's loss; else 0.5)")
    add("--delta-dist", type=float, help="msplus: nearer clusters are one (likewise; else 2.0)")
    add("--min-size", type=int, help="smallest object in pixels (50)")
    largest = "the largest cluster is background (where neither mask nor foreground tells)"
    add("--remove-largest", action=argparse.BooleanOptionalAction, help=largest)
    other = "another argument of the labeler, such as bandwidth=0.75; may be given again"
    add("--set", action="append", default=[], metavar="key=value", help=other)
    add("--iou-threshold", type=float, help="consistency: what a cluster must reach (0.6)")
    add("--output-dataset", default="segmentation", help="name of the data set (segmentation)")
    add("--score", action="store_true", help="score against --gt-dir")
    add("--gt-foreground", action="store_true", help="look only where the truth has objects")
    add("--num-workers", type=int, help="processes (one a core)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
