"""Archives from the network, whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import os
import tarfile
import tempfile
from pathlib import Path

from filelock import FileLock
from torchvision.datasets.utils import download_and_extract_archive

from utils.errors import UserError

log = logging.getLogger("segforge")


def fetch(url: str, md5: str, part: str, folder: Path) -> None:
    """Download an archive and move its folder `part` to `<folder>/<part>`.

    Everything happens in a hidden folder on the same disk, which goes away in any case. Of several
    processes one downloads; the others wait, and find the folder there.

    Raises:
        UserError: If a file is where the folder should be, or the archive does not come, is
            damaged, or holds no such folder.
    """
    ground = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not ground.is_dir():
        raise UserError(f"{ground} is a file, and no folder to download into; name another place")
    try:
        with lock_of(folder / part):
            if not (folder / part).is_dir():
                fetch_part(url, md5, part, folder, ground)
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise UserError(
            f"{url} could not be downloaded ({error}); nothing was written: try again, or download "
            f"it by hand and unpack it in {folder}"
        ) from error


def fetch_part(url: str, md5: str, part: str, folder: Path, ground: Path) -> None:
    """As `fetch`, with the hidden folder in `ground`."""
    log.info("downloading %s", url)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=ground) as scratch:
        unpacked = Path(scratch) / "unpacked"
        download_and_extract_archive(url, scratch, str(unpacked), md5=md5)
        if not (unpacked / part).is_dir():
            raise UserError(f"{url} holds no folder {part}; nothing was written")
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        os.rename(unpacked / part, folder / part)


def lock_of(folder: Path) -> FileLock:
    """One process of this machine at a time; the file lies where it is in nobody's way."""
    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir()) / f"segforge-download-{name}.lock")
