"""Ctrl-C and SIGTERM as a wish to stop at the next safe moment."""

from __future__ import annotations

import signal
import sys
from types import FrameType


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
