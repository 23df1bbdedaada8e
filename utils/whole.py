"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.errors import UserError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to that becomes `path` when all went well, and is removed otherwise.

    Raises:
        UserError: If it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def whole_folder(parent: Path, names: list[str]) -> Iterator[Path]:
    """A folder to fill, whose entries `names` move below `parent` when all went well.

    Args:
        parent: Is made if need be.
        names: Files or folders that do not exist there yet.

    Raises:
        UserError: If one of them exists, or nothing can be written.
    """
    taken = [parent / name for name in names if (parent / name).exists()]
    if taken:
        raise UserError(f"{taken[0]} is there already; remove it or write to another place")
    part = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=".part", dir=parent))
        yield part
        for name in names:
            os.rename(part / name, parent / name)
    except OSError as error:
        raise UserError(f"{parent} cannot be written: {error.strerror or error}") from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """The same file under another name, as a hard link where the disk allows one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
