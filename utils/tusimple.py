"""TuSimple's benchmark: its JSON lines, one frame each, and its scores."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError
from utils.lines import numbered_lines

NAMES = ("Lane_Accuracy", "Lane_FP", "Lane_FN")
REACH = 20  # pixels across a lane within which a point is right
MATCH = 0.85  # share of right points from which a lane is found
COUNTED = 4  # lanes of an image; of more the worst is left out
FORM = {
    "raw_file": '"raw_file": "..."',
    "lanes": '"lanes": [[x, ...], ...]',
    "h_samples": '"h_samples": [y, ...]',
}


def read_frames(path: Path, keys: Iterable[str] = ()) -> dict[str, dict]:
    """The frames of a file by raw_file, in the file's order.

    Args:
        path: File of JSON lines.
        keys: What each line must hold besides raw_file: "lanes", "h_samples".

    Raises:
        UserError: If it cannot be read, a line is no such frame, or a frame comes twice.
    """
    frames: dict[str, dict] = {}
    for number, line in numbered_lines(path):
        try:
            frame = json.loads(line)
        except ValueError:
            frame = None
        if not is_frame(frame, keys):
            entries = ", ".join(FORM[key] for key in ("raw_file", *keys))
            every = " with an x for each y in every lane" if "lanes" in keys else ""
            timed = isinstance(frame, dict) and not is_time(frame.get("run_time", 0))
            time = f"; run_time is {frame['run_time']!r}, no number from 0 up" if timed else ""
            raise UserError(
                f"{path} line {number} is not a frame of TuSimple: {{{entries}}}{every}{time}"
            )
        if frame["raw_file"] in frames:
            raise UserError(
                f"{path} line {number} lists {frame['raw_file']}, which is listed before; keep one"
            )
        frames[frame["raw_file"]] = frame
    if not frames:
        raise UserError(f"{path} holds no frames")
    return frames


def is_frame(data: Any, keys: Iterable[str]) -> bool:
    """Whether a line of JSON holds raw_file and the keys, and what it holds is as it should be."""
    if not isinstance(data, dict) or not {"raw_file", *keys} <= data.keys():
        return False
    lanes, heights = data.get("lanes", []), data.get("h_samples", [])
    return (
        isinstance(data["raw_file"], str)
        and bool(Path(data["raw_file"]).name)
        and isinstance(lanes, list)
        and all(are_pixels(each) for each in (heights, *lanes))
        and ("h_samples" not in data or bool(heights))
        and ("h_samples" not in data or all(len(lane) == len(heights) for lane in lanes))
        and is_time(data.get("run_time", 0))
    )


def is_time(value: Any) -> bool:
    """Whether it is a finite number from 0 up."""
    return type(value) in (int, float) and 0 <= value < math.inf


def are_pixels(values: Any) -> bool:
    """Whether it is a list of finite numbers, none too large for a place in an image."""
    return isinstance(values, list) and all(
        type(value) in (int, float) and abs(value) < 2**31 for value in values
    )


def write_frames(path: Path, frames: Iterable[dict]) -> None:
    """Write frames as JSON lines; the file is whole or not there.

    Raises:
        UserError: If it cannot be written.
    """
    part = Path(f"{path}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text("".join(json.dumps(frame) + "\n" for frame in frames))
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def score_lanes(
    found: Sequence[Sequence[float]],
    truth: Sequence[Sequence[float]],
    h_samples: Sequence[float],
) -> tuple[float, float, float]:
    """Accuracy, false positives and false negatives of one image, as the official script has them.

    Args:
        found: Lanes, an x at each height; below 0 where a lane does not reach.
        truth: The true ones.
        h_samples: The heights in pixels.

    Raises:
        ValueError: If a lane has another number of points than there are heights.
    """
    for lane in (*found, *truth):
        if len(lane) != len(h_samples):
            raise ValueError(f"a lane has {len(lane)} points, there are {len(h_samples)} h_samples")
    if len(found) > len(truth) + 2:
        return 0.0, 0.0, 1.0
    heights = np.asarray(h_samples, float)
    best = np.array([best_share(found, np.asarray(lane, float), heights) for lane in truth])
    hits = int((best >= MATCH).sum())
    missed, right = len(truth) - hits, best.sum()
    if len(truth) > COUNTED:
        missed, right = max(missed - 1, 0), right - best.min()
    counted = max(min(len(truth), COUNTED), 1)
    wrong = (len(found) - hits) / len(found) if len(found) else 0.0
    return float(right / counted), wrong, missed / counted


def best_share(found: Sequence[Sequence[float]], lane: np.ndarray, heights: np.ndarray) -> float:
    """Share of a true lane's points that are right in the best found lane; 0 without any."""
    if not len(found):
        return 0.0
    there = lane >= 0
    slope = np.polyfit(heights[there], lane[there], 1)[0] if there.sum() > 1 else 0.0
    reach = REACH * np.hypot(1, slope)  # 1 / cos(arctan(slope)) times as far
    far = -100.0  # where neither lane is the points agree
    distance = np.abs(np.where(np.asarray(found) < 0, far, found) - np.where(there, lane, far))
    return float((distance < reach).mean(1).max())
