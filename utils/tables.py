"""Scores as text."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path


def score_table(scores: dict[str, float]) -> str:
    """Scores called "<score>/<class>" as a table with a row a class; the others in a line below."""
    columns = list(dict.fromkeys(key.split("/", 1)[0] for key in scores if "/" in key))
    rows = list(dict.fromkeys(key.split("/", 1)[1] for key in scores if "/" in key))
    plain = {key: value for key, value in scores.items() if "/" not in key}
    lines = []
    if rows:
        width = max(len("class"), *(len(row) for row in rows))
        lines.append("class".ljust(width) + "".join(column.rjust(11) for column in columns))
        lines += [
            row.ljust(width)
            + "".join(number(scores.get(f"{column}/{row}")).rjust(11) for column in columns)
            for row in rows
        ]
    lines += wrapped([f"{key} {number(value)}" for key, value in plain.items()])
    return "\n".join(lines)


def class_table(scores: dict[str, float]) -> list[list]:
    """Scores called "<score>/<class>" as rows with a heading: a row a class, a column a score."""
    columns = list(dict.fromkeys(key.split("/", 1)[0] for key in scores if "/" in key))
    classes = list(dict.fromkeys(key.split("/", 1)[1] for key in scores if "/" in key))
    rows = [[name, *(scores.get(f"{c}/{name}") for c in columns)] for name in classes]
    return [["class", *columns], *rows]


def write_csv(path: Path, rows: Sequence[Sequence]) -> None:
    """Write rows, the first of them a heading; what is undefined is empty."""
    with open(path, "w", newline="", errors="backslashreplace") as file:
        for row in rows:
            csv.writer(file).writerow("" if v is None or v != v else v for v in row)


def number(value: float | None, decimals: int = 4) -> str:
    """A score to so many decimals; a dash where there is none."""
    return "-" if value is None or value != value else f"{value:.{decimals}f}"


def wrapped(parts: list[str], width: int = 80) -> list[str]:
    """Parts on lines of at most `width` characters."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += "   " + part
        else:
            lines.append(part)
    return lines
