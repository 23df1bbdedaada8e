"""Score a trained model on a labelled split, and show what went wrong."""

from __future__ import annotations

import argparse
import json
import logging
import math
from pathlib import Path

from dataloaders import make_dataset, make_loader, require_alike
from dataloaders.check import check_dataset
from inference import load_as_asked
from utils.command import add_model_options, import_packages, run
from utils.evaluate import evaluate
from utils.gallery import Gallery
from utils.image_io import write_png
from utils.metrics import MetricGroup
from utils.predict import Predict
from utils.run_folder import make_folder
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
    place = {"data_dir": data_dir} if data_dir else {}
    section, args = sections[0], dict(place)
    if split:
        section = next((s for s in sections if s["args"].get("split") == split), section)
        if split == "test" and config["test_loader"]:
            return {**config["test_loader"], "args": {**config["test_loader"]["args"], **place}}
        args["split"] = split
    return {**section, "args": {**section["args"], **args}}


def metric_of(predict: Predict, sections: list[dict]) -> MetricGroup:
    ignore_index = predict.config["ignore_index"]
    return MetricGroup(sections, len(predict.classes), ignore_index, predict.classes)


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    predict = load_as_asked(args)
    section = split_section(predict.config, args.split, args.data_dir)
    check_section(section, "dataset", f"data set {section['type']}")
    dataset = make_dataset(
        section, predict.config["ignore_index"], normalization=predict.normalization
    )
    require_alike(dataset, predict.classes, predict.channels, predict.config["metric"])
    check_dataset(dataset)
    output = args.output or args.model.parent / f"evaluation_{dataset.split}"
    make_folder(output, "--output")
    gallery = Gallery(metric_of(predict, predict.config["metric"][:1]), dataset)
    metric = metric_of(predict, predict.config["metric"])
    scores = evaluate(
        predict.model,
        make_loader(section, dataset, False),
        predict.predictor,
        predict.labeler,
        metric,
        predict.device,
        dtype=predict.dtype,
        postprocess=predict.postprocess,
        visit=gallery.visit,
        title=f"scoring {dataset.split}",
    )
    text = json.dumps({k: None if math.isnan(v) else v for k, v in scores.items()}, indent=2)
    (output / "scores.json").write_text(text + "\n")
    (output / "scores.txt").write_text(score_table(scores) + "\n")
    for name, picture in {**metric.pictures(), **gallery.sheets()}.items():
        write_png(output / f"{name}.png", picture)
    log.info("%s", score_table(scores))
    log.info("%d images of %s; scores and pictures in %s", len(dataset), dataset.split, output)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser)
    add = parser.add_argument
    add("--split", help="part of the data set (validation's)")
    add("--data-dir", help="folder of the data set (the config's)")
    add("-o", "--output", type=Path, help="folder to write to (evaluation_<split> by the model)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
