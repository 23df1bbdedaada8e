"""Draw TuSimple's lanes as label images: images/0000.png, ... and labels/0000.png, ..."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from dataloaders.lane_labels import LaneFrame, draw_lanes  # noqa: E402
from dataloaders.tusimple import lane_files, list_frames  # noqa: E402
from utils.command import run  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.image_io import read_image, write_png  # noqa: E402
from utils.whole import whole_folder  # noqa: E402

log = logging.getLogger("segforge")

FIRST, STEP = 20, 50
INDEX = "index.txt"


def main(args: argparse.Namespace) -> None:
    if args.thickness < 1:
        raise UserError(f"--thickness is {args.thickness}; give a width in pixels, from 1 up")
    files = lane_files(args.source)
    if not files:
        raise UserError(f"{args.source} holds no label_data_*.json, the annotations of TuSimple")
    frames = list_frames(files)
    output = args.output or args.source
    with whole_folder(output, ["images", "labels", INDEX]) as part:
        lines = []
        for number, (_, frame, path) in enumerate(tqdm(frames, unit="img", disable=None)):
            image = read_image(path)
            label = grey_values(draw_lanes(frame, image.shape[:2], args.thickness), frame)
            write_png(part / "images" / f"{number:04d}.png", image)
            write_png(part / "labels" / f"{number:04d}.png", label)
            lines.append(f"{number:04d} {frame.raw_file}\n")
        (part / INDEX).write_text("".join(lines))
    log.info("%d frames in %s; %s tells which is which", len(frames), output, output / INDEX)


def grey_values(ids: np.ndarray, frame: LaneFrame) -> np.ndarray:
    """20, 70, 120, 170, 220 for the first five lanes; 16 bit where there are more."""
    values = np.where(ids > 0, FIRST + STEP * (ids - 1), 0)
    if values.max() <= 255:
        return values.astype(np.uint8)
    log.warning(
        "%s has %d lanes: its label is a 16 bit file, as the sixth lane's value is %d",
        *(frame.raw_file, ids.max(), FIRST + STEP * 5),
    )
    return values.astype(np.uint16)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Frames are numbered in the order of the files' names and lines. The first lane of "
        "a frame has the value 20, each further one 50 more; later lanes lie on top. "
        "Nothing is overwritten. Training needs none of this: the data set TuSimple reads JSON.",
    )
    add = parser.add_argument
    add("source", type=Path, help="folder with label_data_*.json and clips, or with train_set")
    add("-o", "--output", type=Path, help="where images and labels go (the source folder)")
    add("--thickness", type=int, default=7, help="of a lane, in pixels (7)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
