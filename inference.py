"""Predict images with a trained model; neither its config nor its data is needed."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models import rebuild
from utils import checkpoint
from utils.clustering import LABELERS
from utils.command import add_model_options, import_packages, run
from utils.device import autocast, autocast_dtype, choose_devices
from utils.errors import UserError
from utils.image_io import IMAGE_SUFFIXES, read_image, write_png
from utils.normalization import Normalization
from utils.postprocess.command_line import chosen_postprocess
from utils.predictors import PREDICTORS
from utils.predictors.command_line import chosen_predictor
from utils.scoring import make_postprocess
from utils.visualize import overlay

log = logging.getLogger("segforge")


class Predict:
    """A trained model with everything around it: an image in, its label map out.

    Attributes:
        model, predictor, labeler, postprocess, normalization, dtype, device: The parts.
        classes: Class names by id.
        palette: RGB of each class.
        config: The run's config, resolved.
    """

    def __init__(self, state: dict, device: torch.device, source: Path | str):
        config = state["config"]
        self.config, self.device = config, device
        self.classes, self.palette = state["classes"], state["palette"]
        self.channels = state["channels"]
        self.normalization = Normalization(
            **{k: tuple(v) for k, v in state["normalization"].items()}
        )
        model = rebuild(state)
        checkpoint.load_weights(model, checkpoint.weights(state), source)
        if config["trainer"]["channels_last"]:
            model = model.to(memory_format=torch.channels_last)
        self.model = model.to(device).eval()
        self.labeler = LABELERS.build(config["labeler"])
        self.use(config["predictor"], config["postprocess"])
        self.dtype = autocast_dtype(config["trainer"]["amp"], device)

    def use(self, predictor: dict | str, postprocess: list[dict]) -> None:
        """Predict and post-process by these sections from here on."""
        self.predictor = PREDICTORS.build(predictor, scores=self.labeler.scores)
        self.postprocess = make_postprocess(postprocess, self.classes)

    @torch.no_grad()
    def outputs(self, image: np.ndarray) -> dict[str, Tensor]:
        """The model's maps, each (1, C, H, W), of one image (H, W, channels) uint8 or uint16."""
        if image.ndim == 2:
            image = image[:, :, None]
        if image.shape[2] != self.channels:
            raise UserError(
                f"the image has {image.shape[2]} channels; the model was trained on {self.channels}"
            )
        with autocast(self.device, self.dtype):
            return self.predictor(self.model, self.normalization(image)[None].to(self.device))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Label map (H, W) int64 of an image (H, W, 3) uint8 RGB, or as the model was trained."""
        outputs = self.outputs(image)
        labels = self.labeler(outputs)
        if self.postprocess is not None:
            labels = self.postprocess(labels, outputs)
        return labels[0].cpu().numpy()


def load(path: str | Path, device: str | torch.device = "cpu") -> Predict:
    """Load a checkpoint for use from Python: `labels = load("best_model.pth")(image)`.

    Args:
        path: A checkpoint of a run; its moving average is taken where it has one.
        device: Where to run.

    Raises:
        UserError: If the file is missing, damaged, refused, or does not fit its own architecture.
    """
    return Predict(checkpoint.load_run(path), torch.device(device), path)


def load_as_asked(args: argparse.Namespace) -> Predict:
    """The model of a command line, with its device and predictor."""
    device = choose_devices(1 if torch.cuda.is_available() else 0, args.device)[0]
    predict = load(args.model, device)
    predict.use(
        chosen_predictor(args, predict.config["predictor"]),
        chosen_postprocess(args.postprocess, predict.config["postprocess"]),
    )
    return predict


def save_palette(path: Path, _: np.ndarray, labels: np.ndarray, predict: Predict) -> None:
    write_png(path.with_name(path.name + ".png"), as_ids(labels), predict.palette)


def save_ids(path: Path, _: np.ndarray, labels: np.ndarray, __: Predict) -> None:
    write_png(path.with_name(path.name + "_ids.png"), as_ids(labels))


def save_overlay(path: Path, image: np.ndarray, labels: np.ndarray, predict: Predict) -> None:
    eight = (image >> 8 if image.dtype == np.uint16 else image).astype(np.uint8)
    shown = eight if eight.shape[2] == 3 else np.repeat(eight[:, :, :1], 3, axis=2)
    write_png(path.with_name(path.name + "_overlay.png"), overlay(shown, labels, predict.palette))


SAVERS: dict[str, Callable] = {"palette": save_palette, "ids": save_ids, "overlay": save_overlay}


def as_ids(labels: np.ndarray) -> np.ndarray:
    return labels.astype(np.uint8 if labels.max() < 256 else np.uint16)


def find_images(source: Path, extension: str | None) -> list[Path]:
    """Image files of a folder, recursively, or the one file.

    Raises:
        UserError: If there is none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise UserError(f"--images {source}: there is no such file or folder")
    wanted = (f".{extension.lstrip('.').lower()}",) if extension else IMAGE_SUFFIXES
    found = sorted(p for p in source.rglob("*") if p.suffix.lower() in wanted)
    if not found:
        raise UserError(f"--images {source}: no image with {' or '.join(wanted)} in it")
    return found


def refuse_overwriting(targets: dict[Path, Path]) -> None:
    """Refuse to write over an image that is read, or one result over another.

    Args:
        targets: Where each image's results go, without an ending.

    Raises:
        UserError: If that would happen.
    """
    taken: dict[Path, Path] = {}
    sources = {path.resolve() for path in targets}
    for path, target in targets.items():
        if target.with_name(target.name + ".png").resolve() in sources:
            raise UserError(f"{path} would be written over; give another folder as --output")
        other = taken.setdefault(target, path)
        if other != path:
            raise UserError(
                f"{other} and {path} would both be written to {target}.png; predict them "
                "one after the other, with --extension"
            )


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    images = find_images(args.images, args.extension)
    predict = load_as_asked(args)
    root = args.images if args.images.is_dir() else args.images.parent
    targets = {path: args.output / path.relative_to(root).with_suffix("") for path in images}
    refuse_overwriting(targets)
    unreadable = []
    for path in tqdm(images, unit="img", desc="predicting", disable=None):
        try:
            image = read_image(path, predict.channels)
        except UserError as error:
            unreadable.append(str(error))
            continue
        labels = predict(image)
        for kind in args.save:
            SAVERS[kind](targets[path], image, labels, predict)
    log.info(
        "%d of %d images predicted into %s", len(images) - len(unreadable), len(images), args.output
    )
    if unreadable:
        raise UserError("these images could not be read:\n  " + "\n  ".join(unreadable))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser)
    add = parser.add_argument
    add("-i", "--images", required=True, type=Path, help="folder, searched recursively, or file")
    add("-c", "--config", help="accepted; the checkpoint holds its config")
    add("-o", "--output", default=Path("outputs"), type=Path, help="folder to write to (outputs)")
    add("-e", "--extension", help="only images with it, such as jpg")
    kinds = list(SAVERS)
    add("--save", nargs="+", choices=kinds, default=kinds, help="what to write an image (all)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
