"""Predict images or a video with a trained model; neither its config nor its data is needed."""

from __future__ import annotations

import argparse
import functools
import logging
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from models import rebuild
from utils import checkpoint
from utils.command import add_model_options, at_least, import_packages, run
from utils.config import read_config
from utils.device import choose_devices
from utils.errors import UserError
from utils.inference.exported import READERS, load_exported
from utils.inference.pipeline import Behind, ahead
from utils.inference.predict import Predict
from utils.inference.sources import Frame, Source, find_source
from utils.postprocess.command_line import chosen_postprocess
from utils.predictors.command_line import chosen_predictor
from utils.scoring import with_defaults
from utils.writers import Result
from utils.writers.output import KINDS, Output

log = logging.getLogger("segforge")
LARGE = 4  # gigabytes of scores of one image that are worth a warning
LARGE_IMAGE = (
    "the scores of an image of %dx%d take %.1f GB, several times over; they are needed whole for "
    "%s. Without it labels are made in bands of rows, in little memory"
)


def load(path: str | Path, device: str | torch.device = "cpu") -> Predict:
    """Load a checkpoint for use from Python: `labels = load("best_model.pth")(image)`.

    Args:
        path: A checkpoint of a run; its moving average is taken where it has one. Or a file of
            tools/export.py.
        device: Where to run.

    Raises:
        UserError: If the file is missing, damaged, refused, or does not fit its own architecture.
    """
    path, device = Path(path), torch.device(device)
    if path.suffix in READERS:
        return Predict(*load_exported(path, device), device)
    state = checkpoint.load_run(path)
    with checkpoint.expected(path):
        model = rebuild(state)
        checkpoint.load_weights(model, checkpoint.weights(state), path)
        return Predict(state, model, device)


def load_as_asked(args: argparse.Namespace) -> Predict:
    """The model of a command line, with its device, predictor, labeler and post-processing.

    Raises:
        UserError: If the model or the config cannot be read, or an option does not fit it.
    """
    asked = None
    if args.config:
        import train  # noqa: F401 - registers everything a config may name

        asked = with_defaults(read_config(args.config))
    device = choose_devices(1 if torch.cuda.is_available() else 0, args.device)[0]
    predict = load(args.model, device)
    asked = asked or predict.config
    target = asked["metric"][0]["target"]
    if target != predict.task.target:
        raise UserError(
            f"{args.config} is for {target} labels, {args.model} was trained for "
            f"{predict.task.target} ones; give a config of the model's task"
        )
    predict.use(
        chosen_predictor(args, asked["predictor"]),
        chosen_postprocess(args.postprocess, asked["postprocess"]),
        None if predict.decided else asked["labeler"],
    )
    return predict


def predict_all(predict: Predict, source: Source, output: Output, threads: int = 2) -> list[str]:
    """Predict every image, reading the next and writing the last ones beside the network.

    Args:
        predict: The model.
        source: What to predict.
        output: Where results go.
        threads: That read, and as many that write; 0 does all in turn.

    Returns:
        A line for each image that could not be read.
    """
    in_bands = predict.in_bands and not output.needs_outputs
    because = predict.needs_whole or "--save " + " ".join(output.kinds_of_outputs)
    warn = functools.cache(log.warning)  # of images of one size once

    def read(task: Callable[[], Frame | None]) -> Frame | None:
        frame = task()
        if frame is not None and frame.image is not None and not in_bands:
            frame.prepared = predict.prepare(frame.image)
        return frame

    def predicted(frame: Frame) -> Result:
        height, width = frame.image.shape[:2]
        size = 4 * len(predict.classes) * height * width / 1e9
        if not in_bands and size > LARGE:
            warn(LARGE_IMAGE, width, height, size, because)
        if in_bands:
            labels, kept = predict.label_in_bands(frame.image, output.folder), {}
        else:
            outputs = predict.outputs(frame.prepared)
            labels = predict.label(outputs)
            kept = {k: v[0].cpu() for k, v in outputs.items()} if output.needs_outputs else {}
        return Result(predict.task, frame.image, labels, kept)

    done, problems = 0, []
    tasks = source.reads(predict.channels, output.wants)
    reads = (functools.partial(read, task) for task in tasks)
    reading = 1 if source.in_order and threads else threads
    writing = 1 if output.in_order and threads else threads
    with output, Behind(writing) as behind:
        frames = ahead(reads, reading)
        for frame in tqdm(frames, "predicting", len(source), unit="img", disable=None):
            if frame.error:
                problems.append(frame.error)
                continue
            behind.do(output.write, frame.name, predicted(frame))
            done += 1
    log.info("%d images predicted into %s", done, output.folder)
    return problems + source.problems()


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    if args.skip_existing and args.overwrite:
        raise UserError("--skip-existing keeps results, --overwrite replaces them; give one")
    source = find_source(args.images, args.extension, args.output)
    predict = load_as_asked(args)
    options = (args.skip_existing, args.overwrite, args.fps)
    output = Output(args.output, args.save or source.default, source, predict.task, *options)
    problems = predict_all(predict, source, output, args.threads)
    if problems:
        raise UserError("these images could not be read:\n  " + "\n  ".join(problems))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_options(parser)
    add = parser.add_argument
    images = "folder (searched recursively), image, list of paths (.txt), glob, or video"
    add("-i", "--images", required=True, type=Path, nargs="+", help=images)
    add("-o", "--output", default=Path("outputs"), type=Path, help="folder to write to (outputs)")
    add("-e", "--extension", help="only images with it, such as jpg")
    kinds = "what to write (palette ids overlay; of a video: video): " + " ".join(KINDS)
    add("--save", nargs="+", choices=KINDS, metavar="KIND", help=kinds)
    add("--skip-existing", action="store_true", help="predict only images without results")
    add("--overwrite", action="store_true", help="write over results in the output folder")
    add("--fps", type=at_least(1, float), help="frames a second of a video (its own; 20 of images)")
    threads = "threads that read and that write beside the network (2); 0 for none"
    add("--threads", type=at_least(0), default=2, help=threads)
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
