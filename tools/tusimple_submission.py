"""Fit lanes through predicted object maps and write TuSimple's JSON lines.

    python tools/tusimple_submission.py PREDICTIONS test_tasks_0627.json -o lanes.json

PREDICTIONS is a folder of label PNGs as inference.py writes them, or of HDF5 files to which
cluster.py added /segmentation. The prediction of clips/0601/1494/20.jpg is clips/0601/1494/20 or
clips_0601_1494_20 in it, with _instances.png, .png, _predictions.h5 or .h5 behind; for images that
tools/prepare_tusimple.py numbered, give its index.txt as --index.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path, PurePosixPath

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tqdm import tqdm  # noqa: E402

from utils.command import at_least, run  # noqa: E402
from utils.embeddings_file import read_dataset  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.image_io import read_label  # noqa: E402
from utils.lanes import fit_lanes  # noqa: E402
from utils.lines import read_lines  # noqa: E402
from utils.tusimple import read_frames, write_frames  # noqa: E402

ENDINGS = ("_instances.png", ".png", "_predictions.h5", ".h5")


def main(args: argparse.Namespace) -> None:
    tasks = read_frames(args.tasks, ("h_samples",))
    if not args.predictions.is_dir():
        raise UserError(f"{args.predictions} is not a folder")
    numbers = read_index(args.index) if args.index else {}
    files = {name: find(args.predictions, name, numbers.get(name)) for name in tasks}
    missing = [name for name, file in files.items() if file is None]
    if missing:
        raise UserError(
            f"{args.predictions} lacks the predictions of {len(missing)} of {len(tasks)} frames, "
            f"such as {missing[0]}; see --help for the names they may have"
        )
    size = parse_size(args.size)
    lowest = max((y for task in tasks.values() for y in task["h_samples"]), default=0)
    if lowest >= size[0]:
        raise UserError(
            f"--size {args.size}: {args.tasks} asks for lanes at the height {lowest}, below the "
            "image; give the width and height of the original frames"
        )
    frames, stretched = [], 0
    for name, task in tqdm(tasks.items(), unit="frame", disable=None):
        labels = read_map(files[name], args.dataset)
        stretched += not is_scaled(labels.shape, size)
        lanes = fit_lanes(labels, task["h_samples"], size)
        frames.append(
            {
                "lanes": lanes,
                "h_samples": task["h_samples"],
                "raw_file": name,
                "run_time": args.run_time,
            }
        )
    write_frames(args.output, frames)
    if stretched:
        print(
            f"note: {stretched} maps have another ratio of width to height than --size "
            f"{args.size}; right if you stretched the frames to predict them"
        )
    count = sum(len(frame["lanes"]) for frame in frames)
    print(f"{count} lanes of {len(frames)} frames in {args.output}")


def read_index(file: Path) -> dict[str, str]:
    """The numbers of frames by raw_file."""
    try:
        pairs = [line.split(maxsplit=1) for line in read_lines(file)]
        return {raw_file: f"{int(number):04d}" for number, raw_file in pairs}
    except (UserError, ValueError) as error:
        raise UserError(
            f"{file} is no index of tools/prepare_tusimple.py, a number and a raw_file a line"
        ) from error


def find(folder: Path, raw_file: str, number: str | None) -> Path | None:
    """The prediction of a frame, or None."""
    path = PurePosixPath(raw_file).with_suffix("")
    stems = [str(path), "_".join(path.parts), *([number] if number else [])]
    files = (folder / f"{stem}{ending}" for stem in stems for ending in ENDINGS)
    return next((file for file in files if file.is_file()), None)


def read_map(file: Path, dataset: str) -> np.ndarray:
    """The object map (H, W) of a prediction file.

    Raises:
        UserError: If it cannot be read or holds no such map.
    """
    if file.suffix == ".png":
        labels = read_label(file)
    else:
        labels = read_dataset(file, dataset)
    if labels.ndim != 2:
        raise UserError(f"{file} holds {labels.shape}; an object map is (H, W)")
    return labels.astype(np.int64)


def parse_size(text: str) -> tuple[int, int]:
    """Height and width from "1280x720"."""
    parts = text.split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) for part in parts):
        raise UserError(f"--size {text}: write widthxheight, such as 1280x720")
    return int(parts[1]), int(parts[0])


def is_scaled(shape: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether a map of that shape has the ratio of frames of that size, a pixel more or less."""
    (height, width), ratio = shape, size[1] / size[0]
    return abs(width - height * ratio) <= 1 + ratio


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("predictions", type=Path, help="folder of label PNGs or HDF5 files")
    add("tasks", type=Path, help="JSON lines with raw_file and h_samples")
    add("-o", "--output", type=Path, default=Path("lanes.json"), help="file to write (lanes.json)")
    add("--dataset", default="segmentation", help="HDF5 data set of the objects (segmentation)")
    add("--size", default="1280x720", help="width and height of the original frames (1280x720)")
    add("--index", type=Path, metavar="FILE", help="index.txt of tools/prepare_tusimple.py")
    run_time = "milliseconds a frame took, as you measured; the benchmark fails above 200 (0)"
    add("--run-time", type=at_least(0, float), default=0.0, metavar="MS", help=run_time)
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
