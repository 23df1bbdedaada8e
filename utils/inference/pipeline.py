"""Work in threads before and behind the one that computes, never more than a few pieces of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def ahead(tasks: Iterable[Callable[[], T | None]], threads: int) -> Iterator[T]:
    """The results of tasks in order, computed in threads up to one a thread and one more ahead.

    It ends with the tasks, or with the first one that gives None.

    Args:
        tasks: Functions without arguments.
        threads: 0 calls each task when its result is asked for.
    """
    if not threads:
        for task in tasks:
            if (result := task()) is None:
                return
            yield result
        return
    source, waiting = iter(tasks), deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                while len(waiting) <= threads and (task := next(source, None)) is not None:
                    waiting.append(pool.submit(task))
                if not waiting or (result := waiting.popleft().result()) is None:
                    return
                yield result
        finally:
            for future in waiting:
                future.cancel()


class Behind:
    """Runs calls in threads; used with `with`, which waits for the last one.

    An exception of a call is raised by a later `do`, or at the end.

    Args:
        threads: 0 runs each call at once.
    """

    def __init__(self, threads: int):
        self.threads = threads
        self.waiting: deque[Future] = deque()

    def __enter__(self) -> Behind:
        self.pool = ThreadPoolExecutor(self.threads) if self.threads else None
        return self

    def do(self, call: Callable[..., Any], *args: Any) -> None:
        """Run `call(*args)`, waiting first where more than one a thread and one more wait."""
        if self.pool is None:
            call(*args)
            return
        while len(self.waiting) > self.threads:
            self.waiting.popleft().result()
        self.waiting.append(self.pool.submit(call, *args))

    def __exit__(self, kind: type | None, *_: object) -> None:
        if self.pool is None:
            return
        self.pool.shutdown(cancel_futures=kind is not None)
        while kind is None and self.waiting:
            self.waiting.popleft().result()
