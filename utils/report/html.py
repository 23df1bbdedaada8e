"""Pieces of an HTML page as text: tables that can be sorted, cards, pictures inside the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np

from utils.tables import number

PAGE = Template((Path(__file__).parent / "page.html").read_text())


def page(title: str, parts: Sequence[str]) -> str:
    """A whole page that needs nothing beside itself."""
    return PAGE.substitute(title=escape(title), body="\n".join(parts))


def section(title: str, about: str, *content: str) -> str:
    """A heading, a line that says what is below it, and that."""
    return "\n".join([f"<h2>{escape(title)}</h2>", f"<p>{escape(about)}</p>", *content])


def facts(entries: Mapping[str, Any]) -> str:
    """What is what, a line each."""
    lines = [
        f"<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>" for key, value in entries.items()
    ]
    return f"<dl>{''.join(lines)}</dl>"


def cards(scores: Mapping[str, float | int | None]) -> str:
    """Scores and counts in large print."""
    cells = [
        f'<div class="card"><b>{in_print(value)}</b><span>{spaced(key)}</span></div>'
        for key, value in scores.items()
    ]
    return f'<div class="cards">{"".join(cells)}</div>'


def table(
    rows: Sequence[Sequence[Any]],
    bars: Sequence[str] = (),
    colours: Sequence[Sequence[int]] = (),
) -> str:
    """Rows, the first of them a heading, as a table that a click on a heading sorts.

    Args:
        rows: Text, whole numbers, and fractions; NaN and None are shown as a dash.
        bars: Headings of columns whose values, 0 to 1, are drawn as a bar behind the number too.
        colours: RGB of a swatch before each row, or none.
    """
    heading, *body = rows
    head = "".join(f"<th>{spaced(name)}</th>" for name in heading)
    lines = []
    for index, row in enumerate(body):
        cells = [cell(value, name in bars) for name, value in zip(heading, row, strict=True)]
        if colours:
            rgb = ",".join(map(str, colours[index]))
            swatch = f'<span class="swatch" style="background:rgb({rgb})"></span>'
            cells[0] = cells[0].replace(">", f">{swatch}", 1)
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def in_print(value: float | int | None) -> str:
    return f"{value:,}" if isinstance(value, int) else number(value)


def spaced(name: str) -> str:
    return escape(name.replace("_", " "))


def cell(value: Any, bar: bool) -> str:
    if isinstance(value, str):
        return f'<td data-value="{escape(value)}">{escape(value)}</td>'
    if value is None or value != value:
        return '<td data-value="">-</td>'
    if isinstance(value, int):
        return f'<td data-value="{value}">{value:,}</td>'
    style = f' class="bar" style="--share:{100 * value:.1f}%"' if bar else ""
    return f'<td data-value="{value:.6g}"{style}>{number(value)}</td>'


def picture(pixels: np.ndarray, about: str, ending: str = ".png", widest: int = 1600) -> str:
    """(H, W, 3) uint8 RGB as an image inside the page, at most so many pixels wide."""
    height, width = pixels.shape[:2]
    if width > widest:
        size = (widest, round(height * widest / width))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    quality = (cv2.IMWRITE_JPEG_QUALITY, 80) if ending == ".jpg" else ()
    _, data = cv2.imencode(ending, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
    kind = {".png": "png", ".jpg": "jpeg"}[ending]
    text = base64.b64encode(data.tobytes()).decode()
    return f'<img alt="{escape(about)}" src="data:image/{kind};base64,{text}">'


def exhibit(caption: str, pictures: Sequence[np.ndarray], titles: Sequence[str] = ()) -> str:
    """Pictures (H, W, 3) uint8 RGB side by side under what is to be said of them."""
    names = titles or [caption] * len(pictures)
    shown = [picture(pixels, name, ".jpg") for pixels, name in zip(pictures, names, strict=True)]
    return (
        f'<figure class="exhibit"><figcaption>{escape(caption)}</figcaption>'
        f"<div>{''.join(shown)}</div></figure>"
    )
