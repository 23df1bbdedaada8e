"""The program's voice on the terminal."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys

from tqdm import tqdm


class AroundBars(logging.Handler):
    """Prints above a running progress bar, plain for information, with the level otherwise."""

    def emit(self, record: logging.LogRecord) -> None:
        text = printable(record.getMessage(), sys.stdout.encoding or "utf-8")
        tqdm.write(
            text if record.levelno == logging.INFO else f"{record.levelname.lower()}: {text}"
        )
        sys.stdout.flush()


def printable(text: str, encoding: str = "utf-8") -> str:
    """The text with an escape for what cannot be written, as in a file name that is no UTF-8."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


class Early(logging.handlers.MemoryHandler):
    """Keeps what is said before the run has a folder."""

    def __init__(self):
        super().__init__(capacity=10_000, flushLevel=logging.CRITICAL + 1)


EARLY = Early()


def write_to(handler: logging.Handler) -> None:
    """Let a handler follow the log, beginning with what was said before."""
    log = logging.getLogger("segforge")
    EARLY.setTarget(handler)
    EARLY.flush()
    log.removeHandler(EARLY)
    log.addHandler(handler)


def start_anew() -> None:
    """Keep what is said from here on for the next run's folder, and nothing from before."""
    EARLY.buffer.clear()
    logging.getLogger("segforge").addHandler(EARLY)


def start_logging() -> None:
    """Send the log "segforge" to the terminal, once; of several processes the main one's."""
    log = logging.getLogger("segforge")
    log.setLevel(logging.INFO if int(os.environ.get("RANK", 0)) == 0 else logging.ERROR)
    log.propagate = False
    if not any(isinstance(handler, AroundBars) for handler in log.handlers):
        log.addHandler(AroundBars())
    if EARLY not in log.handlers:
        log.addHandler(EARLY)
