"""Score lanes as TuSimple's benchmark does: accuracy, false positives, false negatives.

    python tools/score_tusimple.py PREDICTIONS.json label_data_0531.json

Both are files of JSON lines with lanes and raw_file, the truth with h_samples too. Every true frame
must be predicted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from utils.command import run  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.tables import number  # noqa: E402
from utils.tusimple import NAMES, read_frames, score_lanes  # noqa: E402


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
    scores = [score(found[name], frame, args.time_limit) for name, frame in truth.items()]
    if args.per_frame:
        for name, values in zip(truth, scores, strict=True):
            print(f"{name}: {table(values)}")
    means = [sum(values) / len(scores) for values in zip(*scores, strict=True)]
    print(f"{len(scores)} frames: {table(means)}")


def score(found: dict, truth: dict, time_limit: float | None) -> tuple[float, float, float]:
    """Accuracy, FP and FN of one frame."""
    if time_limit is not None and found.get("run_time", 0) > time_limit:
        return 0.0, 0.0, 1.0
    try:
        return score_lanes(found["lanes"], truth["lanes"], truth["h_samples"])
    except ValueError as error:
        raise UserError(f"{truth['raw_file']}: {error}") from error


def table(values: tuple[float, ...] | list[float]) -> str:
    return "   ".join(f"{name} {number(v)}" for name, v in zip(NAMES, values, strict=True))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("predictions", type=Path, help="JSON lines with lanes and raw_file")
    add("truth", type=Path, help="JSON lines with lanes, h_samples and raw_file")
    limit = "fail frames whose run_time is longer, as the official script does above 200 (none)"
    add("--time-limit", type=float, metavar="MS", help=limit)
    add("--per-frame", action="store_true", help="print every frame's scores too")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
