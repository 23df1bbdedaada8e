"""The report of one evaluation: a page that opens from disk and needs nothing beside itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from utils.report import html
from utils.report.gallery import TITLES, Exhibit
from utils.report.html import cards, facts, page, picture, section, table
from utils.tables import class_table, number

SHEETS = {
    "worst": ("Worst images", "Those with the lowest {key} of their own: {titles}."),
    "best": ("Best images", "Those with the highest {key} of their own: {titles}."),
    "examples": ("Across the split", "Images at even distances: {titles}."),
}


def make_report(
    title: str,
    about: Mapping[str, Any],
    scores: Mapping[str, float],
    palette: Sequence[Sequence[int]],
    matrices: Mapping[str, np.ndarray],
    boundary: Sequence[Sequence] | None,
    images: Sequence[Sequence],
    exhibits: Mapping[str, Sequence[Exhibit]],
    key: str,
    legend: str,
) -> str:
    """The page as HTML.

    Args:
        title: Over it.
        about: What was scored and how.
        scores: By name; those of a class are called "<score>/<class>".
        palette: RGB of each class.
        matrices: Pictures of the confusion matrix.
        boundary: Table of `BoundaryErrors`, or None.
        images: Scores of each image, the first row a heading.
        exhibits: Kept images by sheet.
        key: Name of the score that ranks images.
        legend: What the colours of the errors mean.
    """
    parts = [
        f"<h1>{escape(title)}</h1>",
        facts(about),
        cards({name: value for name, value in scores.items() if "/" not in name}),
    ]
    classes = class_table(dict(scores))
    if len(classes) > 1:
        bars = [name for name in classes[0][1:] if in_unit(classes, name)]
        colours = palette if len(palette) == len(classes) - 1 else ()
        text = "A dash: the class is neither in the truth nor in the prediction."
        parts.append(section("Classes", text, table(classes, bars, colours)))
    if matrices:
        figures = [f"<figure>{picture(each, name)}</figure>" for name, each in matrices.items()]
        text = "Rows are the truth, columns the prediction."
        grid = f'<div class="matrices">{"".join(figures)}</div>'
        parts.append(section("Confusion", text, grid))
    if boundary:
        text = "By the distance of a pixel from the nearest boundary between true classes."
        shown = table(with_bands(boundary), bars=("error_rate", "share_of_errors"))
        parts.append(section("Errors by distance to the boundary", text, shown))
    for name, kept in exhibits.items():
        heading, text = SHEETS[name]
        figures = [figure(exhibit, key) for exhibit in kept]
        text = text.format(key=key, titles=", ".join(TITLES))
        parts.append(section(heading, f"{text} {legend}", *figures))
    shown = overall(images)
    text = f"{len(images) - 1} images; a click on a heading sorts. All scores are in images.csv."
    bars = [name for name in shown[0] if in_unit(shown, name)]
    parts.append(section("Every image", text, table(shown, bars)))
    return page(title, parts)


def in_unit(rows: Sequence[Sequence], name: str) -> bool:
    """All values of a column are numbers from 0 to 1."""
    place = list(rows[0]).index(name)
    values = [row[place] for row in rows[1:] if row[place] is not None]
    return all(isinstance(v, float) and (v != v or 0 <= v <= 1) for v in values)


def overall(images: Sequence[Sequence]) -> list[list]:
    """The columns that are no class's."""
    kept = [index for index, name in enumerate(images[0]) if "/" not in name]
    return [[row[index] for index in kept] for row in images]


def with_bands(rows: Sequence[Sequence]) -> list[list]:
    """Both ends of a band in one cell."""
    heading = ["distance", *rows[0][2:]]
    bands = [
        [f"{start} to {end} px" if end != math.inf else f"{start} px and more", *rest]
        for start, end, *rest in rows[1:]
    ]
    return [heading, *bands]


def figure(exhibit: Exhibit, key: str) -> str:
    """One image with its truth, prediction and errors."""
    titles = [f"{title} of {exhibit.name}" for title in TITLES]
    return html.exhibit(f"{exhibit.name}: {key} {number(exhibit.score)}", exhibit.pictures, titles)
