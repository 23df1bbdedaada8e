"""Where a run's folder and its events lie, made and tried."""

from __future__ import annotations

import time
from pathlib import Path

from utils.errors import UserError


def require_folder_name(name: str) -> None:
    """Refuse a run's name that no folder can have.

    Raises:
        UserError: If it is empty, has a slash, is "." or "..", or is longer than folders' names.
    """
    if not name or Path(name).name != name or name == ".." or len(name.encode()) > 255:
        raise UserError(
            f"name is {name!r}; it names a folder, so give a word without slashes, of 255 "
            "characters at most"
        )


def new_run_folder(save_dir: str, name: str) -> Path:
    """Make `<save_dir>/<name>/<date_time>`, with a number behind where that is taken.

    Raises:
        UserError: If it cannot be made or written to.
    """
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    parent = Path(save_dir) / name
    for attempt in range(1000):
        path = parent / (stamp if not attempt else f"{stamp}_{attempt + 1}")
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError as error:
            if not path.is_dir():
                raise unwritable(path, error) from error
        except OSError as error:
            raise unwritable(path, error) from error
    raise UserError(f"{parent} holds too many runs of this second")


def make_folder(path: Path, key: str) -> None:
    """Make a folder that the config's `key` asks for, and try whether files can be written.

    Raises:
        UserError: If it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}); set {key} to a folder that can"
        ) from error


def unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path} cannot be written ({error.strerror}); set trainer.save_dir to a folder that can"
    )


def events_folder(config: dict, folder: Path) -> Path | None:
    """Where TensorBoard events go; None for nowhere."""
    if not config["trainer"]["tensorboard"]:
        return None
    log_dir = config["trainer"]["log_dir"]
    return Path(log_dir) / config["name"] / folder.name if log_dir else folder
