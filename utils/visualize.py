"""Pictures of label maps: colours, overlays, errors, contact sheets, plots."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np

from utils.instance_pictures import colorize_instances, instance_errors, numbered_like
from utils.logger import printable

IGNORED = (255, 255, 255)
ERROR = (220, 30, 40)
RIGHT = (44, 48, 52)
GAP = 6


def colorize(labels: np.ndarray, palette: list[list[int]]) -> np.ndarray:
    """(H, W) ids as (H, W, 3) uint8 RGB; ids that have no colour, as the ignored one, white."""
    table = np.full((len(palette) + 1, 3), IGNORED, np.uint8)
    table[: len(palette)] = palette
    inside = (labels >= 0) & (labels < len(palette))
    return table[np.where(inside, labels, len(palette))]


def draw_labels(
    labels: np.ndarray,
    target: str,
    palette: list[list[int]],
    truth: np.ndarray | None = None,
) -> np.ndarray:
    """A label map (H, W) as (H, W, 3) uint8, as the target of that name is drawn.

    Args:
        labels: Class ids or object ids.
        target: "instance" for a colour an object; anything else for a colour a class.
        palette: RGB of each class.
        truth: A map whose objects lend their colours to those that match them.
    """
    if target != "instance":
        return colorize(labels, palette)
    return colorize_instances(labels if truth is None else numbered_like(labels, truth))


def draw_errors(labels: np.ndarray, truth: np.ndarray, target: str, ignore: int) -> np.ndarray:
    """What is wrong with a label map (H, W), as (H, W, 3) uint8.

    Args:
        labels: What was found.
        truth: The target.
        target: "instance" for the fate of each object; anything else for wrong pixels.
        ignore: Label of `truth` that counts for nothing.
    """
    draw = instance_errors if target == "instance" else error_map
    return draw(labels, truth, ignore)


def overlay(
    image: np.ndarray, labels: np.ndarray, palette: list[list[int]], alpha: float = 0.5
) -> np.ndarray:
    """The image (H, W, 3) with label colours laid over it, `alpha` of colour, 0 to 1."""
    mixed = image * (1 - alpha) + colorize(labels, palette).astype(np.float32) * alpha
    return mixed.round().astype(np.uint8)


def error_map(labels: np.ndarray, target: np.ndarray, ignore_index: int) -> np.ndarray:
    """(H, W, 3) uint8: wrong pixels red, right ones dark, ignored ones white."""
    picture = np.empty((*target.shape, 3), np.uint8)
    picture[:] = RIGHT
    picture[labels != target] = ERROR
    picture[target == ignore_index] = IGNORED
    return picture


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    captions: Sequence[str] = (),
    cell: int = 240,
    beside: int = 1,
) -> np.ndarray:
    """A grid of pictures with a title over each column and a caption under each row.

    Args:
        rows: Pictures (H, W, 3) uint8, the same number in each row.
        titles: One a column.
        captions: One a row, or none.
        cell: Width of a picture in the sheet, in pixels.
        beside: Rows that stand beside each other.
    """
    head, foot = 24, 20 if captions else 0
    lines = []
    for number, row in enumerate(rows):
        height = round(cell * row[0].shape[0] / row[0].shape[1])
        line = np.full((height + foot + GAP, len(row) * (cell + GAP) + GAP, 3), 255, np.uint8)
        for column, picture in enumerate(row):
            small = picture.shape[1] < cell
            how = cv2.INTER_NEAREST if small else cv2.INTER_AREA
            left = GAP + column * (cell + GAP)
            line[:height, left : left + cell] = cv2.resize(
                picture, (cell, height), interpolation=how
            )
        if captions:
            write(line, captions[number], (GAP, height + 14))
        lines.append(line)
    beside = min(beside, len(lines))
    top = np.full((head, lines[0].shape[1], 3), 255, np.uint8)
    for column, title in enumerate(titles):
        write(top, title, (GAP + column * (cell + GAP), 16))
    groups = [lines[start : start + beside] for start in range(0, len(lines), beside)]
    return np.concatenate([np.hstack([top] * beside), *(side_by_side(g, beside) for g in groups)])


def side_by_side(pictures: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Pictures of one width as a row with room for `count`, white where there is none."""
    height, width = max(len(picture) for picture in pictures), pictures[0].shape[1]
    row = np.full((height, count * width, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        row[: len(picture), place * width : (place + 1) * width] = picture
    return row


def write(picture: np.ndarray, text: str, place: tuple[int, int]) -> None:
    text = printable(text)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (40, 40, 40), 1, cv2.LINE_AA)


def draw_confusion(counts: np.ndarray, names: list[str], write_counts: bool = False) -> np.ndarray:
    """The confusion matrix (C, C), rows truth, as a picture; shares of each row, in percent.

    With `write_counts` the cells say how many pixels they are, and are coloured by the shares too.
    """
    from matplotlib.figure import Figure  # slow to import, and only needed here

    with np.errstate(divide="ignore", invalid="ignore"):
        shares = 100 * counts / counts.sum(1, keepdims=True)
    side = max(4.0, 0.55 * len(names) + 2)
    figure = Figure(figsize=(side + 0.6, side), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    picture = axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("prediction")
    axes.set_ylabel("truth")
    axes.set_title("pixels" if write_counts else "share of each true class, in percent")
    if len(names) <= 40:
        for row, column in np.ndindex(shares.shape):
            value = shares[row, column]
            if value >= 0.5:
                axes.text(
                    column,
                    row,
                    compact(counts[row, column]) if write_counts else f"{value:.0f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if value > 55 else "black",
                )
    figure.colorbar(picture, shrink=0.8)
    return figure_array(figure)


def draw_scatter(points: np.ndarray, labels: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Points in space, or in the plane where there are but two coordinates, as a picture.

    Args:
        points: (P, D), of which the first three coordinates are drawn.
        labels: (P,) object of each point; those of background (0) are drawn small and grey.
        colors: (P, 3) uint8 RGB of each point.
    """
    from matplotlib.figure import Figure  # slow to import, and only needed here

    points = points[:, :3]
    figure = Figure(figsize=(4, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot(projection="3d" if points.shape[1] == 3 else None)
    inside = labels > 0
    axes.scatter(*points[~inside].T, s=1, color="0.75")
    axes.scatter(*points[inside].T, s=3, c=colors[inside] / 255)
    axes.tick_params(labelsize=7)
    return figure_array(figure)


def compact(count: float) -> str:
    """A count in four characters or so: 950, 1.2k, 34M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.{int(count < 10 * size)}f}{unit}"
    return f"{count:.0f}"


def figure_array(figure) -> np.ndarray:
    """A matplotlib figure as (H, W, 3) uint8."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    pixels = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
