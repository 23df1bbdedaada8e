"""What a run leaves behind: config, log, scores, TensorBoard events, checkpoints."""

from __future__ import annotations

import csv
import json
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from utils.engine.saving import BackgroundWriter
from utils.errors import UserError
from utils.image_io import write_png
from utils.logger import write_to
from utils.run_place import events_folder, make_folder, new_run_folder, unwritable
from utils.whole import whole_file

log = logging.getLogger("segforge")


class RunFolder:
    """One run's folder, `<save_dir>/<name>/<run>`.

    Args:
        path: The folder; exists.
        events: Folder of the TensorBoard events, or None for none.
        start: Iteration the run goes on from.
        validated: Iteration of the last validation before it. Rows after it are dropped, and events
            after `start`; also those of `start`, if a validation there is still to come.

    Raises:
        UserError: If metrics.csv is another's.
    """

    path: Path | None

    def __init__(self, path: Path, events: Path | None = None, start: int = 0, validated: int = 0):
        self.path = path
        for left in path.glob("*.part"):  # by a process that was killed as it wrote
            left.unlink()
        self.rows = self._kept_rows(validated)
        purge = start + (validated == start) if start else None
        self.writer = None
        if events:
            wait_for_a_new_second(events)
            self.writer = SummaryWriter(str(events), purge_step=purge)
        self.checkpoints = BackgroundWriter()
        self._file = logging.FileHandler(path / "log.txt", "a", "utf-8", errors="backslashreplace")
        self._file.handleError = lambda _: None  # the run hears of a full disk from its other files
        self._file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        write_to(self._file)

    def save_config(self, config: dict) -> None:
        with whole_file(self.path / "config.json") as part:
            part.write_text(json.dumps(config, indent=2) + "\n")

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
                with self._events():
                    self.writer.add_scalar(tag, value, iteration)

    def add_image(self, tag: str, image: np.ndarray, iteration: int) -> None:
        """Write an (H, W, 3) uint8 picture to TensorBoard."""
        if self.writer:
            with self._events():
                self.writer.add_image(tag, image, iteration, dataformats="HWC")

    def keep_image(self, tag: str, image: np.ndarray, iteration: int) -> None:
        """Write an (H, W, 3) uint8 picture as pictures/<tag>_<iteration>.png."""
        write_png(self.path / "pictures" / f"{tag}_{iteration:06d}.png", image)

    def flush(self) -> None:
        if self.writer:
            with self._events():
                self.writer.flush()

    def close(self) -> None:
        """Finish what is begun; a full disk was heard of by `flush`."""
        self.checkpoints.close()
        log.removeHandler(self._file)
        for writer in filter(None, (self.writer, self._file)):
            with suppress(OSError):
                writer.close()

    @contextmanager
    def _events(self) -> Iterator[None]:
        """Around what is given to TensorBoard's writer, whose thread hands on its errors."""
        try:
            yield
        except OSError as error:
            raise unwritable(Path(self.writer.log_dir), error) from error

    def _kept_rows(self, validated: int) -> list[dict]:
        file = self.path / "metrics.csv"
        if not file.is_file() or not validated:
            return []
        try:
            with open(file, newline="") as lines:
                return [row for row in csv.DictReader(lines) if int(row["iteration"]) <= validated]
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise UserError(
                f"{file} is no table that a run here writes, with a column iteration of whole "
                "numbers; move it away, and the run goes on with a new one"
            ) from error

    def _write_rows(self) -> None:
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        with (
            whole_file(self.path / "metrics.csv") as part,
            open(part, "w", newline="") as file,
        ):
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows)


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


def open_folder(
    config: dict, save_dir: str, path: Path | None, start: int, validated: int
) -> RunFolder:
    """The folder of a run.

    Args:
        config: The run's.
        save_dir: Folder of all runs.
        path: The run's, to go on in; None for a new one.
        start: Iteration the run goes on from.
        validated: Iteration of the last validation before it.

    Raises:
        UserError: If it cannot be made or written to, or holds a foreign metrics.csv.
    """
    log_dir = config["trainer"]["log_dir"]
    if log_dir:
        make_folder(Path(log_dir), "trainer.log_dir")
    if path:
        make_folder(path, "trainer.save_dir")
    path = path or new_run_folder(save_dir, config["name"])
    events = events_folder(config, path)
    folder = RunFolder(path, events, start, validated)
    log.info("run folder %s", path)
    if events is not None:
        log.info("curves: tensorboard --logdir %s", log_dir or save_dir)
    return folder


def plain(value: float | int) -> str:
    """A number for the csv: empty where undefined."""
    return "" if value != value else repr(value) if isinstance(value, int) else f"{value:.6g}"
