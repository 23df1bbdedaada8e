"""The bar of an epoch, and where its time goes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import tqdm

from utils.distributed import is_main
from utils.tables import number

log = logging.getLogger("segforge")

HINT_SHARE, HINT_SECONDS = 0.25, 5  # waiting for data, from which an epoch says so


class Progress:
    """One line: epoch, batches, loss, score, images/s, share of time waiting for data, time left.

    Used with `with`; validation inside is taken out of its clock by `pause` and `resume`.

    Args:
        epoch: From 0.
        iteration: Batches the run has done.
        total: Batches of the run.
        per_epoch: Batches of an epoch.
        position: Batches of this epoch that are done.
    """

    def __init__(self, epoch: int, iteration: int, total: int, per_epoch: int, position: int):
        self.epoch, self.epochs = epoch + 1, -(-total // per_epoch)
        self.left = total - iteration
        self.bar = tqdm(
            total=min(per_epoch, position + self.left),
            initial=position,
            leave=False,
            disable=None if is_main() else True,
            ncols=80,
            bar_format="{desc} |{bar}|{percentage:3.0f}%",
        )
        self.images = self.batches = 0
        self.loss = self.waited = 0.0
        self.shown: dict[str, float] = {}

    def __enter__(self) -> Progress:
        self.start = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    @property
    def seconds(self) -> float:
        """Time spent training since the start, in seconds."""
        return max(time.monotonic() - self.start, 1e-6)

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches, measuring how long each was waited for."""
        source = iter(batches)
        while True:
            before = time.monotonic()
            batch = next(source, None)
            self.waited += time.monotonic() - before
            if batch is None:
                return
            yield batch

    def advance(self, images: int, loss: float) -> None:
        """Count a batch."""
        self.images += images
        self.batches += 1
        self.loss += loss
        self.bar.set_description_str(self._line(), refresh=False)
        self.bar.update()

    def show(self, values: dict[str, float]) -> None:
        """Values for the bar from here on."""
        self.shown = values

    def pause(self) -> None:
        """Stop the clock and take the bar away."""
        self.paused = time.monotonic()
        self.bar.clear()

    def resume(self) -> None:
        """Start the clock again."""
        self.start += time.monotonic() - self.paused

    def finish(self) -> None:
        """Say in a line how the epoch went, and where the loader was the limit."""
        self.bar.close()
        mean = self.loss / self.batches if self.batches else None
        log.info(
            "epoch %s/%s: loss %s, %.1f img/s, %.0f%% waiting for data, %s left",
            *(self.epoch, self.epochs, number(mean), self.images / self.seconds),
            *(100 * self.waited / self.seconds, clock(self._remaining())),
        )
        if self.waited > HINT_SHARE * self.seconds and self.waited > HINT_SECONDS:
            log.info(
                "the data set is the limit, not the model: raise train_loader.args.num_workers, "
                "keep the images on a faster disk, or augment less"
            )

    def _line(self) -> str:
        shown = self.shown or {"loss": self.loss / max(self.batches, 1)}
        parts = [f"{name} {short(value)}" for name, value in shown.items()]
        speed = f"{self.images / self.seconds:.1f} img/s"
        waiting = f"wait {100 * self.waited / self.seconds:.0f}%"
        place = f"{self.epoch}/{self.epochs}"
        return " ".join([place, *parts, speed, waiting, f"left {clock(self._remaining())}"])

    def _remaining(self) -> float:
        return (self.left - self.batches) * self.seconds / max(self.batches, 1)


def short(value: float) -> str:
    """Three decimals; four digits of a large value; a dash where there is none."""
    return f"{value:.4g}" if abs(value) >= 100 else number(value, 3)


def clock(seconds: float) -> str:
    """h:mm:ss."""
    seconds = max(round(seconds), 0)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
