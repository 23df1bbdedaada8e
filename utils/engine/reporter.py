"""What a run says while it trains: terms summed for metrics.csv, TensorBoard, the terminal."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

from utils.engine.finite import Reading
from utils.engine.monitor import Monitor
from utils.engine.progress import Progress
from utils.engine.run_folder import RunFolder
from utils.tables import number, score_table

log = logging.getLogger("segforge")

Draw = Callable[[nn.Module], dict[str, np.ndarray]]
KEPT = {"embedding_scatter"}  # pictures that the run's folder holds too
ScoreBatch = Callable[[dict[str, Tensor], Any], tuple[str, float]]


class Reporter:
    """Follows the loss terms and reports points, epochs and validations.

    Args:
        draw: Gives pictures by tag from a model, after each validation; or None.
        score_batch: Gives the name and value of a score of one training batch from (outputs,
            target); None where labels are too dear.

    Attributes:
        folder: Where it writes; set before training.
    """

    folder: RunFolder

    def __init__(self, draw: Draw | None, score_batch: ScoreBatch | None):
        self.draw, self.score_batch = draw, score_batch
        self.sums: dict[str, float] = {}
        self.batches = self.skipped = 0
        self.terms: dict[str, float] = {}  # of the last batch; none of one that was skipped
        self.shown: dict[str, float] = {}  # the scalars of the last point
        self.shown_at = 0

    def count(self, terms: dict[str, float]) -> None:
        """Add the terms of one batch to the means of this interval between validations."""
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.batches += 1
        self.terms = terms

    def skip(self, reading: Reading) -> None:
        """Count a batch that is not finite, whose update is left out."""
        self.terms = {}
        self._left_out(reading, reading.trouble() or "not finite")

    def refused(self, reading: Reading, scale: float) -> None:
        """Count an update that float16's scaler left out."""
        self._left_out(reading, f"the gradient overflows float16, whose scale goes to {scale:g}")

    def _left_out(self, reading: Reading, why: str) -> None:
        self.skipped += 1
        about = (reading.iteration, why, ", ".join(reading.group), self.skipped)
        log.warning("iteration %d: %s, on %s: skipped (%d so far)", *about)

    @property
    def mean_loss(self) -> float:
        """Mean objective since the last validation; NaN before the first batch."""
        return sum(self.sums.values()) / self.batches if self.batches else float("nan")

    def point(
        self,
        outputs: dict[str, Tensor],
        target: Any,
        groups: list[dict[str, Any]],
        iteration: int,
        progress: Progress,
    ) -> None:
        """Report the last batch to TensorBoard and to the bar; of several processes the main one's
        outputs. A batch that was skipped has no point.
        """
        if not self.terms:
            return
        scalars = {"train/loss": sum(self.terms.values())}
        shown = {"loss": scalars["train/loss"]}
        scalars |= {f"train/{name}": value for name, value in self.terms.items()}
        for index, group in enumerate(groups):
            scalars[f"train/lr_{group.get('name', index)}"] = group["lr"]
        if self.score_batch is not None:
            key, value = self.score_batch(outputs, target)
            scalars[f"train/{key}"] = shown[key] = value
        self.folder.add_scalars(scalars, iteration)
        self.shown, self.shown_at = scalars, iteration
        progress.show(shown)

    def show_again(self, iteration: int) -> None:
        """Write that iteration's point, which is dropped where its validation is still to come."""
        if self.shown_at == iteration:
            self.folder.add_scalars(self.shown, iteration)

    def validation(
        self,
        scores: dict[str, float],
        improved: bool,
        monitor: Monitor,
        model: nn.Module,
        place: dict[str, float],
    ) -> None:
        """Report one validation everywhere, and start a new interval.

        Args:
            scores: By name.
            improved: Whether it is the best so far.
            monitor: What decided that.
            model: The model that was scored, for pictures.
            place: Leading columns of metrics.csv: epoch, iteration, lr.
        """
        iteration = int(place["iteration"])
        row = {**place, "train_loss": self.mean_loss}
        row |= {f"train_{name}": total / self.batches for name, total in self.sums.items()}
        self.folder.add_row(row | scores)
        self.folder.add_scalars({f"val/{k}": v for k, v in scores.items()}, iteration)
        if self.draw is not None:
            for tag, picture in self.draw(model).items():
                self.folder.add_image(f"val/{tag}", picture, iteration)
                if tag in KEPT:
                    self.folder.keep_image(tag, picture, iteration)
        best = f": best {monitor.key} so far, {number(monitor.best)}" if improved else ""
        log.info("validation after iteration %d%s\n%s", iteration, best, score_table(scores))
        self.sums, self.batches = {}, 0

    def state(self) -> dict[str, Any]:
        return {
            "sums": dict(self.sums),
            "batches": self.batches,
            "skipped": self.skipped,
            "shown": dict(self.shown),
            "shown_at": self.shown_at,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.sums, self.batches = dict(state["sums"]), state["batches"]
        self.skipped = state.get("skipped", 0)  # older checkpoints do not count
        self.shown, self.shown_at = dict(state.get("shown", {})), state.get("shown_at", 0)
