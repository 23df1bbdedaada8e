"""The program's voice on the terminal."""

from __future__ import annotations

import logging
import sys

from tqdm import tqdm


class AroundBars(logging.Handler):
    """Prints above a running progress bar, plain for information, with the level otherwise."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        tqdm.write(
            text if record.levelno == logging.INFO else f"{record.levelname.lower()}: {text}"
        )
        sys.stdout.flush()


def start_logging() -> None:
    """Send the log "segforge" to the terminal, once."""
    log = logging.getLogger("segforge")
    log.setLevel(logging.INFO)
    log.propagate = False
    if not any(isinstance(handler, AroundBars) for handler in log.handlers):
        log.addHandler(AroundBars())
