"""When a run's state is saved, and how it gets to disk while training goes on."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from utils import checkpoint


class SavePlan:
    """When `last.pth` is due inside an epoch.

    Args:
        every_minutes: Minutes from one to the next; 0 for never.
        every_iterations: Likewise in batches.
    """

    def __init__(self, every_minutes: float, every_iterations: int):
        self.every_seconds, self.every_iterations = 60 * every_minutes, every_iterations
        self.saved(0)

    def saved(self, iteration: int) -> None:
        """Count from here."""
        self.at, self.iteration = time.monotonic(), iteration

    def due(self, iteration: int) -> bool:
        every = self.every_iterations
        by_count = every and iteration // every > self.iteration // every
        waited = time.monotonic() - self.at
        return bool(by_count or self.every_seconds and waited >= self.every_seconds)


class BackgroundWriter:
    """Writes checkpoints in a thread, one after another in the order given.

    A state given to it must not change any more. Of several, at most `ROOM` wait in memory.
    """

    ROOM = 2

    def __init__(self):
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._waiting: deque[Future] = deque()

    def write(self, state: dict[str, Any], path: Path) -> None:
        """Write it soon.

        Raises:
            UserError: If an earlier one could not be written.
        """
        self.check(room=self.ROOM - 1)
        self._waiting.append(self._thread.submit(checkpoint.save, state, path))

    def check(self, room: int | None = None) -> None:
        """Hear how the writing went, waiting until at most `room` are left.

        Raises:
            UserError: If one could not be written.
        """
        while self._waiting and (
            self._waiting[0].done() or room is not None and len(self._waiting) > room
        ):
            self._waiting.popleft().result()

    def wait(self) -> None:
        """Until all is written, or raise as `check` does."""
        self.check(room=0)

    def close(self) -> None:
        """Finish what is begun; errors were heard by `wait`, or another error is on its way."""
        self._thread.shutdown(wait=True)
