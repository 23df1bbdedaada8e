"""Class names and colours, as data: one JSON file a data set."""

from __future__ import annotations

import colorsys
import json
from pathlib import Path


def load_palette(name: str) -> tuple[list[str], list[list[int]]]:
    """Class names and RGB colours of `<name>.json` in this folder, by class id."""
    data = json.loads((Path(__file__).parent / f"{name}.json").read_text())
    return list(data), list(data.values())


def distinct_colours(count: int) -> list[list[int]]:
    """Colours that are easy to tell apart, the first black: for classes that have none."""
    hues = [(i * 0.618034) % 1 for i in range(count - 1)]
    bright = [(0.95, 0.65, 0.8)[i % 3] for i in range(count - 1)]
    rgb = [colorsys.hsv_to_rgb(h, 0.75, v) for h, v in zip(hues, bright, strict=True)]
    return [[0, 0, 0], *([round(c * 255) for c in colour] for colour in rgb)][:count]
