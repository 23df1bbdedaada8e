"""A run that does not come to its end: Ctrl-C, SIGTERM, a fault; and how to go on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from utils.errors import UserError, memory_full


class Interrupted(Exception):
    """The run was asked to stop, and has saved what it needs to go on.

    Args:
        message: How to go on.
        signal_number: What asked; the exit code is 128 more, as shells have it.
    """

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


class StopAsked(Exception):
    """A signal asked to stop, and nothing is saved yet; its number is the argument."""


class StopRequest:
    """Inside `with`, the first signal is noted in `received`; a second Ctrl-C stops at once.

    Args:
        speaks: Whether to say so.
    """

    def __init__(self, speaks: bool = True):
        self.received: int | None = None
        self.speaks = speaks

    def __enter__(self) -> StopRequest:
        self._before = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise StopAsked if a signal came."""
        if self.received is not None:
            raise StopAsked(self.received)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = number
        if self.speaks:
            print("\nstopping after this step; Ctrl-C again stops at once", file=sys.stderr)


def way_on(command: str, folder: Path) -> str:
    """How to go on from a run's folder."""
    return f"go on with:\n  {command} -r {folder / 'last.pth'}"


# what reading from a loader's worker raises that was killed, before its end is known
PIPE_LOST = (ConnectionResetError, ConnectionRefusedError, EOFError)


@contextmanager
def telling_the_way_on(command: str, folder: Path | None) -> Iterator[None]:
    """Around training: a user's error, or a second Ctrl-C, says how to go on, where there is a
    checkpoint.

    Args:
        command: As the user called it.
        folder: The run's; None in a process that does not speak.

    Raises:
        UserError: Also for a loader's worker that was killed, and a GPU whose memory is full.
        Interrupted: For Ctrl-C.
    """
    try:
        yield
    except (UserError, RuntimeError, MemoryError, *PIPE_LOST) as error:
        text = str(error) if isinstance(error, UserError) else mendable(error)
        if text is None:
            raise
        if folder is not None and (folder / "last.pth").is_file():
            text += f"\nWhen that is mended, {way_on(command, folder)}"
        raise (type(error) if isinstance(error, UserError) else UserError)(text) from error
    except KeyboardInterrupt as stop:
        if folder is None:
            raise
        saved = (folder / "last.pth").is_file()
        text = way_on(command, folder) if saved else f"no checkpoint is in {folder} yet"
        raise Interrupted(f"stopped at once; {text}", signal.SIGINT) from stop


def mendable(error: Exception) -> str | None:
    """A sentence for torch's errors that a user can mend; None for the others."""
    first = str(error).partition("\n")[0]
    if full := memory_full(error):
        return (
            f"{full}; lower batch_size, with trainer.accumulate in its place, or crop_size, or set "
            "trainer.amp"
        )
    if isinstance(error, PIPE_LOST) or "DataLoader worker" in first:
        return (
            f"a worker of the loader ended ({first or 'its pipe closed'}); it may have run out of "
            "memory: lower num_workers or batch_size"
        )
    return None
