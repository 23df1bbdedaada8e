"""Compare runs: their curves on one plot, their scores one by one, their configs.

    python tools/compare_runs.py saved/NAME/RUN_A saved/NAME/RUN_B [...]

The first run is what the others are compared with. Scores are those of evaluate.py, so score each
run first. An evaluation's folder may stand for a run.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from utils.command import at_least, run  # noqa: E402
from utils.config import difference  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.image_io import write_png  # noqa: E402
from utils.report.comparison import SHARE, differences, read_evaluation  # noqa: E402
from utils.run_place import make_folder  # noqa: E402
from utils.tables import number, write_csv  # noqa: E402
from utils.visualize import figure_array  # noqa: E402

log = logging.getLogger("segforge")
WRITTEN = ("curves.png", "differences_*.csv", "config_difference_*.txt")
SCORED = ("model", "data", "predictor", "postprocess")  # of evaluation.json: how it was scored


def evaluation_of(folder: Path, split: str) -> Path:
    """The folder with a run's scores: its own, or that of a split inside it.

    Raises:
        UserError: If there is none.
    """
    inside = folder / f"evaluation_{split}"
    for place in (folder, inside):
        if (place / "images.csv").is_file() or (place / "class_counts.csv").is_file():
            return place
    raise UserError(
        f"{folder} holds no scores of the images of {split}; python evaluate.py --model "
        f"{folder / 'best_model.pth'} --output {inside} makes them"
    )


def config_of(folder: Path, evaluation: Path) -> dict:
    """A run's config, and under "evaluation" how it was scored; what lies nowhere is left out.

    Raises:
        UserError: If a file is damaged.
    """
    scored = read_json(evaluation / "evaluation.json")
    config = read_json(folder / "config.json") or scored.get("config", {})
    return {**config, "evaluation": {key: scored[key] for key in SCORED if key in scored}}


def read_json(path: Path) -> dict:
    """The content of a file, {} where there is none.

    Raises:
        UserError: If it cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
        return {**content}
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} is damaged: it holds no JSON object; score the model again with evaluate.py "
            "--overwrite, or copy the file again"
        ) from error


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv; none where there is no such file.

    Raises:
        UserError: If it cannot be read.
    """
    path = folder / "metrics.csv"
    if not path.is_file():
        return []
    try:
        with open(path, newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read; copy it again") from error


def curve(rows: list[dict[str, str]], key: str) -> tuple[list[float], list[float]]:
    """Iterations and values of a column.

    Raises:
        UserError: If one is no number.
    """
    rows = [row for row in rows if row.get(key)]
    try:
        return [float(row["iteration"]) for row in rows], [float(row[key]) for row in rows]
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"--key {key}: metrics.csv does not hold numbers of it with their iteration; there are "
            + ", ".join(rows[0])
        ) from error


def draw_curves(folders: list[Path], names: list[str], key: str) -> np.ndarray | None:
    """The curves of all runs as a picture (H, W, 3) uint8; None where none has that column."""
    from matplotlib.figure import Figure  # slow to import, and only needed here

    tables = [read_metrics(folder) for folder in folders]
    curves = [curve(rows, key) for rows in tables]
    if not any(iterations for iterations, _ in curves):
        columns = dict.fromkeys(name for rows in tables for name in (rows[0] if rows else ()))
        there = f"; there are {', '.join(columns)} (--key)" if columns else ""
        log.warning("no curves are drawn: no run has a column %r in metrics.csv%s", key, there)
        return None
    figure = Figure(figsize=(8, 5), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for name, (iterations, values) in zip(names, curves, strict=True):
        axes.plot(iterations, values, label=name, marker="." if len(values) < 30 else None)
    axes.set_xlabel("iteration")
    axes.set_ylabel(key)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure_array(figure)


def as_text(rows: list[list]) -> str:
    """The table for the terminal; a star, and what it means, where the interval does not hold 0."""
    heading, *body = rows
    width = max(len(row[0]) for row in rows)
    lines = ["".join([heading[0].ljust(width), *(name.rjust(12) for name in heading[1:])])]
    for name, *values in body:
        low, high = values[-2:]
        star = " *" if low > 0 or high < 0 else ""
        lines.append("".join([name.ljust(width), *(number(v).rjust(12) for v in values), star]))
    if any(line.endswith("*") for line in lines):
        lines.append(f"* the {SHARE}% interval over images does not hold 0")
    return "\n".join(lines)


def main(args: argparse.Namespace) -> None:
    if len(args.runs) < 2:
        raise UserError("give two runs or more")
    names = [str(folder) for folder in args.runs]
    places = [evaluation_of(folder, args.split) for folder in args.runs]
    evaluations = [read_evaluation(place) for place in places]
    configs = [config_of(*each) for each in zip(args.runs, places, strict=True)]
    first, *others = evaluations
    tables = [differences(first, other, args.resamples) for other in others]
    picture = draw_curves(args.runs, names, args.key or first.main)
    make_folder(args.output, "--output")
    for left in [path for name in WRITTEN for path in args.output.glob(name)]:
        left.unlink()  # by an earlier comparison, perhaps of more runs
    if picture is not None:
        write_png(args.output / "curves.png", picture)
    for which, (config, name, table) in enumerate(
        zip(configs[1:], names[1:], tables, strict=True), start=1
    ):
        write_csv(args.output / f"differences_{which}.csv", table)
        log.info("\nA: %s\nB: %s\n%s", names[0], name, as_text(table))
        lines = difference(configs[0], config)
        (args.output / f"config_difference_{which}.txt").write_text("\n".join(lines) + "\n")
        log.info("config, A -> B:\n  %s", "\n  ".join(lines) or "no difference")
    log.info("\nwritten to %s", args.output)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("runs", nargs="+", type=Path, help="folders of runs or of evaluations, the first is A")
    add("--key", help="column of metrics.csv to draw (Mean_IoU, or the metric's first score)")
    add("--split", default="val", help="evaluation inside a run's folder (val)")
    add("--resamples", type=at_least(1), default=2000, help="draws of the bootstrap (2000)")
    add("-o", "--output", type=Path, default=Path("comparison"), help="folder (comparison)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
