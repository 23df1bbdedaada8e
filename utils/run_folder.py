"""What a run leaves behind: config, log, scores, TensorBoard events, checkpoints."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from utils.errors import UserError
from utils.image_io import write_png
from utils.logger import write_to
from utils.saving import BackgroundWriter

log = logging.getLogger("segforge")


class RunFolder:
    """One run's folder, `<save_dir>/<name>/<run>`.

    Args:
        path: The folder; exists.
        events: Folder of the TensorBoard events, or None for none.
        start: Iteration the run goes on from; rows and events after it are dropped.
    """

    path: Path | None

    def __init__(self, path: Path, events: Path | None = None, start: int = 0):
        self.path = path
        for left in path.glob("*.part"):  # by a process that was killed as it wrote
            left.unlink()
        self.rows = self._kept_rows(start)
        purge = start + 1 if start else None
        self.writer = None
        if events:
            wait_for_a_new_second(events)
            self.writer = SummaryWriter(str(events), purge_step=purge)
        self.checkpoints = BackgroundWriter()
        self._file = logging.FileHandler(path / "log.txt", encoding="utf-8")
        self._file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        write_to(self._file)

    def save_config(self, config: dict) -> None:
        (self.path / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    def save_checkpoint(self, state: dict[str, Any], name: str) -> None:
        """Write it in the background, after what is in the events so far.

        Args:
            state: Its snapshot: it must not change any more.
            name: Of the file.

        Raises:
            UserError: If an earlier one could not be written.
        """
        self.flush()
        self.checkpoints.write(state, self.path / name)

    def check(self) -> None:
        """Raise a UserError if a checkpoint could not be written."""
        self.checkpoints.check()

    def wait(self) -> None:
        """Until every checkpoint is written; errors as in `check`."""
        self.checkpoints.wait()

    def add_row(self, row: dict[str, float | int]) -> None:
        """Append one validation to metrics.csv; a column that comes later is empty before."""
        self.rows.append({key: plain(value) for key, value in row.items()})
        self._write_rows()

    def add_scalars(self, scalars: dict[str, float], iteration: int) -> None:
        """Write TensorBoard scalars; undefined ones are left out."""
        for tag, value in scalars.items():
            if self.writer and math.isfinite(value):
                self.writer.add_scalar(tag, value, iteration)

    def add_image(self, tag: str, image: np.ndarray, iteration: int) -> None:
        """Write an (H, W, 3) uint8 picture to TensorBoard."""
        if self.writer:
            self.writer.add_image(tag, image, iteration, dataformats="HWC")

    def keep_image(self, tag: str, image: np.ndarray, iteration: int) -> None:
        """Write an (H, W, 3) uint8 picture as pictures/<tag>_<iteration>.png."""
        write_png(self.path / "pictures" / f"{tag}_{iteration:06d}.png", image)

    def flush(self) -> None:
        if self.writer:
            self.writer.flush()

    def close(self) -> None:
        self.checkpoints.close()
        if self.writer:
            self.writer.close()
        log.removeHandler(self._file)
        self._file.close()

    def _kept_rows(self, start: int) -> list[dict]:
        file = self.path / "metrics.csv"
        if not file.is_file() or not start:
            return []
        with open(file, newline="") as lines:
            return [row for row in csv.DictReader(lines) if int(row["iteration"]) <= start]

    def _write_rows(self) -> None:
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        part = self.path / "metrics.csv.part"
        with open(part, "w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(part, self.path / "metrics.csv")


class NoFolder(RunFolder):
    """Of a process whose main one writes."""

    def __init__(self):
        self.path = self.writer = None

    def save_config(self, config: dict) -> None: ...

    def save_checkpoint(self, state: dict[str, Any], name: str) -> None: ...

    def check(self) -> None: ...

    def wait(self) -> None: ...

    def add_row(self, row: dict[str, float | int]) -> None: ...

    def close(self) -> None: ...


def wait_for_a_new_second(events: Path) -> None:
    """TensorBoard reads event files in the order of their names, which begin with the second."""
    while any(events.glob(f"events.out.tfevents.{int(time.time()):010d}.*")):
        time.sleep(0.05)


def plain(value: float | int) -> str:
    """A number for the csv: empty where undefined."""
    return "" if value != value else repr(value) if isinstance(value, int) else f"{value:.6g}"


def new_run_folder(save_dir: str, name: str) -> Path:
    """Make `<save_dir>/<name>/<date_time>`, with a number behind where that is taken.

    Raises:
        UserError: If it cannot be made or written to, or the name is no folder's.
    """
    if not name or Path(name).name != name or name == "..":
        raise UserError(f"name is {name!r}; it names a folder, so give a word without slashes")
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
