"""Finding images and the labels that belong to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from utils.errors import UserError
from utils.image_io import IMAGE_SUFFIXES
from utils.sample import Entry

UNPAIRED: ContextVar[list[str] | None] = ContextVar("unpaired", default=None)


class NoFolder(UserError):
    """A folder of a data set is not there."""


def find_data_dir(data_dir: str) -> Path:
    """The folder a config means: as it stands, or else below `$SEGFORGE_DATA`.

    Raises:
        NoFolder: If it is in neither place.
    """
    folder = Path(data_dir).expanduser()
    root = os.environ.get("SEGFORGE_DATA")
    tried = [folder] if folder.is_absolute() or not root else [folder, Path(root) / folder]
    for place in tried:
        if place.is_dir():
            return place
    raise NoFolder(
        "data_dir: there is no folder "
        + " or ".join(str(p.absolute()) for p in tried)
        + ("" if root else "; relative folders are also looked up from $SEGFORGE_DATA")
    )


def find_below(folder: Path, part: str) -> Path:
    """`<folder>/<part>`, or where that is missing `<folder>/<any one folder>/<part>`.

    Archives unpack to a folder of their own or straight into the one they lie in.

    Raises:
        NoFolder: If there is no such folder.
        UserError: If several of them could be meant.
    """
    if (folder / part).is_dir():
        return folder / part
    found = sorted(place for place in folder.glob(f"*/{part}") if place.is_dir())
    if not found:
        raise NoFolder(
            f"there is no folder {folder / part} or {folder / '*' / part}; "
            "docs/datasets.md or docs/instances_data.md shows the tree"
        )
    if len(found) > 1:
        raise UserError(
            f"there are {found[0]} and {found[1]}; set data_dir to the folder above one of them"
        )
    return found[0]


def list_images(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """Files of a folder with one of the endings by stem, sorted.

    Raises:
        UserError: If there is no such folder, or two images share a stem.
    """
    found: dict[str, Path] = {}
    for name in sorted(names_in(folder)):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in suffixes:
            path = folder / name
            other = found.setdefault(stem, path)
            if other is not path:
                raise shared_name(other, path)
    return found


def list_files(folder: Path, ending: str) -> dict[str, Path]:
    """Files of a folder whose names end so, by name without the ending, sorted.

    Raises:
        UserError: If there is no such folder.
    """
    names = sorted(name for name in names_in(folder) if name.endswith(ending))
    return {name[: -len(ending)]: folder / name for name in names}


def names_in(folder: Path) -> list[str]:
    """What a folder holds, without a look at each file and without hidden ones, as macOS adds.

    Raises:
        UserError: If there is no such folder.
    """
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError as error:
        raise UserError(f"there is no folder {folder}") from error


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
            raise shared_name(other, path)
    return found


def shared_name(one: Path, other: Path) -> UserError:
    return UserError(f"{one} and {other} share a name; keep one")


def pair(images: dict[str, Path], labels: dict[str, Path]) -> list[Entry]:
    """Entries of the images and labels whose names agree.

    Raises:
        UserError: If some have no partner; names up to five of them. Inside `noting_unpaired` they
            are noted there instead.
    """
    problems = [f"{images[name]} has no label" for name in sorted(images.keys() - labels.keys())]
    problems += [f"{labels[name]} has no image" for name in sorted(labels.keys() - images.keys())]
    refuse_unpaired(problems)
    return [
        Entry(name, images[name], labels[name]) for name in sorted(images.keys() & labels.keys())
    ]


def pair_listed(
    index: Path, names: list[str], images: dict[str, Path], labels: dict[str, Path]
) -> list[Entry]:
    """Entries of the names that a list file holds, in its order.

    Raises:
        UserError: If one has no image or no label, as `refuse_unpaired` says it.
    """
    refuse_unpaired(
        [
            f"{index} lists {name}, which has no {what}"
            for name in names
            for what, found in (("image", images), ("label", labels))
            if name not in found
        ]
    )
    both = images.keys() & labels.keys()
    return [Entry(name, images[name], labels[name]) for name in names if name in both]


def refuse_unpaired(problems: list[str]) -> None:
    """Refuse images and labels that lack a partner.

    Args:
        problems: A sentence each; none where all is well.

    Raises:
        UserError: With up to five of them. Inside `noting_unpaired` all are noted there instead.
    """
    noted = UNPAIRED.get()
    if noted is not None:
        noted += problems
    elif problems:
        more = [f"and {len(problems) - 5} more"] if len(problems) > 5 else []
        raise UserError("\n  ".join([*problems[:5], *more]))


@contextmanager
def noting_unpaired() -> Iterator[list[str]]:
    """Inside, what has no partner is listed, and data sets go on with the rest."""
    token = UNPAIRED.set([])
    try:
        yield UNPAIRED.get()
    finally:
        UNPAIRED.reset(token)


def require_names(names: list[str], index: Path) -> None:
    """Refuse a list file that names no image, or one twice.

    Raises:
        UserError: Naming the list.
    """
    if not names:
        raise UserError(f"{index} is empty; a line for each image is expected")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"{index} lists {name} twice")
        seen.add(name)
