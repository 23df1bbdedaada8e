"""The report of a data check: a page that opens from disk and needs nothing beside itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from utils.report.html import cards, exhibit, facts, page, section, table

SIZES = 5  # of images that are named
LINES = 1000  # of a table of sentences; more of them make a page slow


def make_data_report(
    name: str,
    about: Mapping[str, Any],
    loaders: Mapping[str, Mapping[str, Any]],
    palettes: Mapping[str, Sequence[Sequence[int]]],
    exhibits: Mapping[str, Sequence[tuple[str, Sequence]]],
) -> str:
    """The page as HTML.

    Args:
        name: Of the config.
        about: What was checked.
        loaders: For each loader what tools/check_data.py writes into report.json.
        palettes: RGB of each class, by loader.
        exhibits: Captions and pictures, by loader.
    """
    counts = {f"{loader} images": found.get("images") for loader, found in loaders.items()}
    counts |= {"problems": sum(len(found["problems"]) for found in loaders.values())}
    parts = [f"<h1>{escape(name)}: the data</h1>", facts(about), cards(counts)]
    for loader, found in loaders.items():
        parts += problems(loader, found)
    for loader, found in loaders.items():
        parts += numbers(loader, found, palettes.get(loader, ()))
    for loader, shown in exhibits.items():
        figures = [exhibit(caption, pictures) for caption, pictures in shown]
        text = (
            "Image, labels and overlay. Samples with problems come first, then others at even "
            "distances. Magenta is no class, white is ignored."
        )
        parts += [section(f"{loader}: pictures", text, *figures)] if shown else []
    return page(f"{name}: the data", parts)


def problems(name: str, found: Mapping[str, Any]) -> list[str]:
    """What is wrong with the data of one loader, and what would mend it."""
    parts = []
    if found["problems"]:
        rows = [[fault["text"], fault["kind"]] for fault in found["problems"]]
        lines = [
            f"<p>{escape(hint['text'])}; in the args of {name}_loader:</p>"
            f"<pre>{escape(json.dumps(hint['args'])[1:-1])}</pre>"
            if hint["args"]
            else f"<p>{escape(hint['text'])}</p>"
            for hint in found["hints"]
        ]
        content = [*lines, said([["problem", "kind"], *rows])]
        parts.append(section(f"{name}: problems", f"{len(rows)} in all.", *content))
    if found["doubts"]:
        rows = [[text] for text in found["doubts"]]
        parts.append(section(f"{name}: notes", "These may be meant so.", said([["note"], *rows])))
    return parts


def said(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column holds sentences, with a word of those that are left out."""
    more = len(rows) - 1 - LINES
    left = f"<p>and {more:,} more in report.json</p>" if more > 0 else ""
    return f'<div class="said">{table(rows[: LINES + 1])}{left}</div>'


def numbers(name: str, found: Mapping[str, Any], palette: Sequence[Sequence[int]]) -> list[str]:
    """The data set of one loader, its classes and its objects."""
    if "images" not in found:
        return []
    sizes = list(found["sizes"].items())
    named = [f"{size} ({count})" for size, count in sizes[:SIZES]]
    entries = {
        "data set": f"{found['data_set']}, split {found['split']}",
        "folder": found["data_dir"],
        "images": found["images"],
        "sizes": ", ".join(named) + (f" and {len(sizes) - SIZES} more" * (len(sizes) > SIZES)),
    }
    if "objects" in found:
        entries |= object_facts(found["objects"])
    content = [facts(entries)]
    if "classes" in found:
        content.append(class_rows(found, palette))
        lines = [
            f'"class_weights": {json.dumps(weights)}  // {scheme}'
            for scheme, weights in found["class_weights"].items()
        ]
        text = f"{found['ignored']:.2%} of the pixels are ignored. Weights for the args of a loss:"
        content.append(f"<p>{text}</p><pre>{escape(chr(10).join(lines))}</pre>")
    return [section(f"{name}: what is there", "", *content)]


def object_facts(found: Mapping[str, Any]) -> dict[str, str]:
    def line(values: Mapping[str, float]) -> str:
        return ", ".join(f"{key} {value:g}" for key, value in values.items()) or "none"

    return {
        "objects": f"{found['count']:,}; {found['images_without']} images have none",
        "objects an image": line(found["per_image"]),
        "pixels an object": line(found["area"]),
    }


def class_rows(found: Mapping[str, Any], palette: Sequence[Sequence[int]]) -> str:
    """A table of the classes, with bars of their shares."""
    schemes = found["class_weights"]
    heading = ["class", "pixels", "share", "images", *(f"weight_{name}" for name in schemes)]
    rows = [
        [*each.values(), *(weights[place] for weights in schemes.values())]
        for place, each in enumerate(found["classes"])
    ]
    return table([heading, *rows], bars=("share",), colours=palette)
