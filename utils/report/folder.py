"""The folder of one evaluation: scores, tables, pictures and the page that shows them all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.errors import UserError
from utils.image_io import write_png
from utils.inference.predict import Predict
from utils.logger import printable
from utils.metrics import MetricGroup
from utils.report.boundary_errors import BoundaryErrors
from utils.report.gallery import Gallery
from utils.report.report import make_report
from utils.tables import class_table, score_table, write_csv


def write_evaluation(
    folder: Path,
    about: dict[str, str],
    predict: Predict,
    scores: dict[str, float],
    metric: MetricGroup,
    gallery: Gallery,
    boundary: BoundaryErrors | None,
) -> None:
    """Write all that is known of an evaluation.

    Args:
        folder: Exists.
        about: What was scored and how.
        predict: The model.
        scores: By name.
        metric: What gave them.
        gallery: What has seen each image.
        boundary: Likewise, or None.

    Raises:
        UserError: If a file cannot be written, as on a full disk.
    """
    with writing_into(folder):
        remove_earlier(folder)
        write_json(
            folder / "scores.json", {k: None if math.isnan(v) else v for k, v in scores.items()}
        )
        (folder / "scores.txt").write_text(score_table(scores) + "\n")
        classes = class_table(scores)
        tables = {"classes": classes} if len(classes) > 1 else {}  # a model of objects has none
        tables |= metric.tables() | gallery.tables()
        if boundary is not None:
            tables["boundary_errors"] = boundary.table()
        for name, rows in tables.items():
            write_csv(folder / f"{name}.csv", rows)
        matrices = metric.pictures()
        pictures = {**matrices, **gallery.sheets()}
        for name, picture in pictures.items():
            write_png(folder / f"{name}.png", picture)
        page = make_report(
            f"{predict.config['name']}: scores of {about['data']}",
            about,
            scores,
            predict.palette,
            matrices,
            tables.get("boundary_errors"),
            tables["images"],
            gallery.exhibits(),
            gallery.key,
            gallery.legend,
        )
        (folder / "report.html").write_text(printable(page), encoding="utf-8")
        files = ["scores.json", "scores.txt", "report.html", *(f"{name}.csv" for name in tables)]
        files += [f"{name}.png" for name in pictures]
        write_json(folder / "evaluation.json", {**about, "files": files, "config": predict.config})


def remove_earlier(folder: Path) -> None:
    """Take away the files that an earlier evaluation says it wrote, and nothing else."""
    path = folder / "evaluation.json"
    try:
        files = json.loads(path.read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # none, or of an older version: its files are written over
    for name in [*files, path.name]:
        if Path(name).name == name:
            (folder / name).unlink(missing_ok=True)


@contextmanager
def writing_into(folder: Path) -> Iterator[None]:
    """Turn what the system says against writing into a UserError."""
    try:
        yield
    except OSError as error:
        place = error.filename or folder
        raise UserError(f"{place} cannot be written: {error.strerror or error}") from error


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def in_words(section: dict) -> str:
    """A section on one line: Sliding(window=512, overlap=0.5)."""
    args = [
        f"{key}={in_words(value) if isinstance(value, dict) and 'type' in value else value}"
        for key, value in section.get("args", {}).items()
    ]
    return f"{section['type']}({', '.join(args)})" if args else section["type"]
