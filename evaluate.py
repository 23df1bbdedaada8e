"""Score a trained model on a labelled split, and show what went wrong."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from dataloaders import make_dataset, make_loader, require_alike, skips_errors
from dataloaders.check import check_dataset
from dataloaders.combine import split_of, with_args
from inference import load_as_asked
from utils.command import add_model_options, import_packages, run
from utils.errors import UserError
from utils.evaluate import evaluate
from utils.metrics import MetricGroup, metric_of
from utils.report.boundary_errors import BoundaryErrors
from utils.report.folder import in_words, write_evaluation
from utils.report.gallery import Gallery
from utils.run_place import make_folder
from utils.schema import check_section
from utils.tables import score_table

log = logging.getLogger("segforge")


def split_section(config: dict, split: str | None, data_dir: str | None) -> dict:
    """The loader section that gives a split; the one of validation where none is of that split.

    Args:
        config: The run's.
        split: None for validation's own.
        data_dir: Folder in place of the section's, or None.
    """
    loaders = [config[key] for key in ("val_loader", "test_loader", "train_loader")]
    sections = [section for section in loaders if section]
    section = sections[0]
    if split == "test" and config["test_loader"]:
        section = config["test_loader"]
    elif split:
        found = next((s for s in sections if split_of(s) == split), None)
        section = found or with_args(section, {"split": split})
    return with_args(section, {"data_dir": data_dir}) if data_dir else section


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    predict = load_as_asked(args)
    section = split_section(predict.config, args.split, args.data_dir)
    check_section(section, "dataset", f"data set {section['type']}")
    dataset = make_dataset(
        section, predict.config["ignore_index"], normalization=predict.normalization
    )
    metrics = predict.config["metric"]
    require_alike(dataset, predict.classes, predict.channels, metrics)
    metric = metric_of(metrics, dataset)
    if predict.decided:
        refuse_scores(metric, args.model)
    check_dataset(dataset, skips_errors(section))
    output = args.output or args.model.parent / f"evaluation_{dataset.split}"
    if output.is_dir() and any(output.iterdir()) and not args.overwrite:
        raise UserError(
            f"--output {output} is not empty: --overwrite replaces the evaluation in it, or name "
            "another folder"
        )
    make_folder(output, "--output")
    gallery = Gallery(metric_of(metrics[:1], dataset), dataset)
    boundary = BoundaryErrors(dataset.ignore_index) if semantic(metrics) else None

    def visit(*image: Any) -> None:
        gallery.visit(*image)
        if boundary is not None:
            boundary.visit(*image)

    scores = evaluate(
        predict.model,
        make_loader(section, dataset, False),
        predict.predictor,
        predict.labeler,
        metric,
        predict.device,
        dtype=predict.dtype,
        postprocess=predict.postprocess,
        visit=visit,
        title=f"scoring {dataset.split}",
    )
    about = {
        "model": str(args.model),
        "data": f"{section['type']}, split {dataset.split}, {len(dataset)} images",
        "arch": predict.config["arch"]["type"],
        "predictor": in_words(predict.sections["predictor"]),
        "labeler": in_words(predict.sections["labeler"]),
        "postprocess": ", ".join(map(in_words, predict.sections["postprocess"])) or "none",
    }
    write_evaluation(output, about, predict, scores, metric, gallery, boundary)
    log.info("%s", score_table(scores))
    log.info("%d images of %s; scores and report.html in %s", len(dataset), dataset.split, output)


def refuse_scores(metric: MetricGroup, path: Path) -> None:
    """Refuse a metric of scores for a model that gives labels alone.

    Raises:
        UserError: If one of the metrics reads the model's outputs.
    """
    try:
        metric.check_outputs({})
    except UserError as error:
        raise UserError(
            f"{path} gives labels in place of scores, which a metric of its config reads; score "
            "the checkpoint, or a file exported without --labels"
        ) from error


def semantic(metrics: list[dict]) -> bool:
    return metrics[0]["target"] == "semantic"


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser)
    add = parser.add_argument
    add("--split", help="part of the data set (validation's)")
    add("--data-dir", help="folder of the data set (the config's)")
    add("-o", "--output", type=Path, help="folder to write to (evaluation_<split> by the model)")
    add("--overwrite", action="store_true", help="replace the evaluation in the output folder")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
