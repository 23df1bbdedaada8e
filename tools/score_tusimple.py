"""Score lanes as TuSimple's benchmark does: accuracy, false positives, false negatives.

    python tools/score_tusimple.py PREDICTIONS.json label_data_0531.json

Both are files of JSON lines with lanes and raw_file, the truth with h_samples too. Every true frame
must be predicted.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from utils.command import at_least, run  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.tables import number  # noqa: E402
from utils.tusimple import NAMES, read_frames, score_lanes  # noqa: E402

FAILED = (0.0, 0.0, 1.0)  # accuracy, FP and FN of a frame that took too long


def main(args: argparse.Namespace) -> None:
    found = read_frames(args.predictions, ("lanes",))
    truth = read_frames(args.truth, ("lanes", "h_samples"))
    for file, has, other in (
        (args.predictions, found, truth),
        (args.truth, truth, found),
    ):
        missing = [name for name in other if name not in has]
        if missing:
            raise UserError(
                f"{file} lacks {len(missing)} of {len(other)} frames, such as {missing[0]}; both "
                "files must hold the same ones"
            )
    slow = [name for name in truth if found[name].get("run_time", 0) > args.time_limit]
    scores = [
        FAILED if name in slow else score(found[name], frame) for name, frame in truth.items()
    ]
    if args.per_frame:
        for name, values in zip(truth, scores, strict=True):
            print(f"{name}: {table(values)}")
    means = [sum(values) / len(scores) for values in zip(*scores, strict=True)]
    print(f"{len(scores)} frames: {table(means)}")
    if slow:
        print(
            f"{len(slow)} of them failed, as their run_time is above {args.time_limit:g} ms, such "
            f"as {slow[0]}; --time-limit inf lets every time pass"
        )


def score(found: dict, truth: dict) -> tuple[float, float, float]:
    """Accuracy, FP and FN of one frame."""
    try:
        return score_lanes(found["lanes"], truth["lanes"], truth["h_samples"])
    except ValueError as error:
        raise UserError(f"{truth['raw_file']}: {error}") from error


def table(values: tuple[float, ...] | list[float]) -> str:
    return "   ".join(f"{name} {number(v)}" for name, v in zip(NAMES, values, strict=True))


def milliseconds(text: str) -> float:
    """The type of --time-limit: a number from 0 up, or inf."""
    return math.inf if text == "inf" else at_least(0, float)(text)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("predictions", type=Path, help="JSON lines with lanes and raw_file")
    add("truth", type=Path, help="JSON lines with lanes, h_samples and raw_file")
    limit = "fail frames whose run_time is longer; inf for no limit (200, the benchmark's)"
    add("--time-limit", type=milliseconds, default=200.0, metavar="MS", help=limit)
    add("--per-frame", action="store_true", help="print every frame's scores too")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
