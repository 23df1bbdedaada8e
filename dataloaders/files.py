"""Finding images and the labels that belong to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from utils.errors import UserError
from utils.image_io import IMAGE_SUFFIXES
from utils.sample import Entry


def find_data_dir(data_dir: str) -> Path:
    """The folder a config means: as it stands, or else below `$SEGFORGE_DATA`.

    Raises:
        UserError: If it is in neither place.
    """
    folder = Path(data_dir).expanduser()
    root = os.environ.get("SEGFORGE_DATA")
    tried = [folder] if folder.is_absolute() or not root else [folder, Path(root) / folder]
    for place in tried:
        if place.is_dir():
            return place
    raise UserError(
        "data_dir: there is no folder "
        + " or ".join(str(p.absolute()) for p in tried)
        + ("" if root else "; relative folders are also looked up from $SEGFORGE_DATA")
    )


def list_images(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Files of a folder with one of the endings by stem, sorted.

    Raises:
        UserError: If there is no such folder, or two images share a stem.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}")
    return by_stem(p for p in folder.iterdir() if p.suffix.lower() in suffixes)


def by_stem(
    paths: Iterable[Path], name_of: Callable[[Path], str] = lambda path: path.stem
) -> dict[str, Path]:
    """Paths, sorted, by the name that `name_of` gives them.

    Raises:
        UserError: If two have one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(paths):
        other = found.setdefault(name_of(path), path)
        if other != path:
            raise UserError(f"{other} and {path} share a name; keep one")
    return found


def pair(images: dict[str, Path], labels: dict[str, Path]) -> list[Entry]:
    """Entries of the images and labels whose names agree.

    Raises:
        UserError: If some have no partner; names up to five of them.
    """
    problems = [f"{images[name]} has no label" for name in sorted(images.keys() - labels.keys())]
    problems += [f"{labels[name]} has no image" for name in sorted(labels.keys() - images.keys())]
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise UserError("; ".join(problems[:5]) + more)
    return [Entry(name, images[name], labels[name]) for name in sorted(images)]
