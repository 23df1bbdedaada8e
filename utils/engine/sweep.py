"""A grid of runs, one after another, and the table of their best scores."""

from __future__ import annotations

import itertools
import json
import logging
import math
import re
import statistics
from collections.abc import Callable
from typing import Any

from utils.errors import UserError
from utils.logger import start_anew
from utils.tables import number

log = logging.getLogger("segforge")

Point = dict[str, Any]

OWN = {
    "name": "each point gets a name of its own, <name>_<values>; sweep other keys",
    "trainer.monitor": "the points are compared by one score; set it for all, with --set",
}


def grid(texts: list[str]) -> list[Point]:
    """Every combination of the values that `--sweep` gave, the last key changing fastest.

    Args:
        texts: "a.b=[value, ...]" each, a JSON list of at least one value.

    Raises:
        UserError: If one is written otherwise, a key comes twice or is the sweep's own, or two
            points have one name.
    """
    axes: dict[str, list] = {}
    for text in texts:
        key, _, raw = text.partition("=")
        try:
            values = json.loads(raw)
        except json.JSONDecodeError:
            values = None
        if not key or not isinstance(values, list) or not values:
            raise UserError(f"--sweep {text}: write it as key.key=[value, value], a JSON list")
        if key in OWN:
            raise UserError(f"--sweep {key}: {OWN[key]}")
        if key in axes:
            raise UserError(f"--sweep {key} is given twice; put all its values into one list")
        axes[key] = values
    points = [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())]
    titles = [title(point) for point in points]
    double = next((name for name in titles if titles.count(name) > 1), None)
    if double is not None:
        raise UserError(f"--sweep: two points are called {double}; give values that differ in it")
    return points


def title(point: Point) -> str:
    """A point as the words of a folder's name, such as lr=0.01_seed=1."""
    words = [f"{key.split('.')[-1]}={json.dumps(value)}" for key, value in point.items()]
    return re.sub(r"[^\w.=,+-]+", "-", "_".join(words)).strip("-")


def require_score(config: dict) -> None:
    """Refuse a config whose runs have no score to compare.

    Raises:
        UserError: If it does not validate, or monitors nothing.
    """
    trainer = config["trainer"]
    if trainer["monitor"] == "off" or not trainer["val"] or not config["val_loader"]:
        raise UserError(
            "--sweep compares runs by their monitored score, and this config has none: give it a "
            'val_loader, and set trainer.monitor to "max <score>" or "min <score>"'
        )


def run_sweep(
    points: list[Point], name: str, train_one: Callable[[list[str]], dict[str, float | None]]
) -> None:
    """Train every point and print the table; what is finished is not trained again.

    Args:
        points: From `grid`.
        name: The config's; a point's runs are called `<name>_<point>`.
        train_one: Trains with overrides "a.b=value", going on where that run stopped; gives the
            monitored score's best value by name.

    Raises:
        UserError: At the end, if some points could not be trained.
    """
    found: list[tuple[Point, float]] = []
    failed = []
    key = "score"
    for place, point in enumerate(points, 1):
        start_anew()
        log.info("sweep %d of %d: %s", place, len(points), title(point))
        overrides = [f"{k}={json.dumps(value)}" for k, value in point.items()]
        try:
            best = train_one([*overrides, f"name={name}_{title(point)}"])
        except UserError as error:
            log.error("%s", error)
            failed.append(title(point))
            continue
        if best:
            key, value = next(iter(best.items()))
            found.append((point, math.nan if value is None else value))
    if found:  # none with --check
        log.info("%s", table(found, key))
    if failed:
        raise UserError(f"{len(failed)} of {len(points)} points failed: {', '.join(failed)}")


def table(found: list[tuple[Point, float]], key: str) -> str:
    """The points but for their seeds, with mean and spread of the score over these."""
    groups: dict[str, list[float]] = {}
    for point, score in found:
        rest = {k: value for k, value in point.items() if k != "seed"}
        groups.setdefault(title(rest) or "all seeds", []).append(score)
    width = max(map(len, [*groups, "sweep"]))
    lines = [f"{'sweep':{width}} {'runs':>5} {key:>12} {'spread':>8}"]
    for name, scores in groups.items():
        mean = statistics.fmean(scores)
        known = len(scores) > 1 and math.isfinite(mean)
        spread = statistics.stdev(scores) if known else math.nan
        lines.append(f"{name:{width}} {len(scores):5} {number(mean):>12} {number(spread):>8}")
    return "\n".join(lines)
