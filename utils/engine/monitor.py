"""Which validation is the best so far, and when to give up."""

from __future__ import annotations

import math
from collections.abc import Iterable

from utils.errors import UserError
from utils.registry import suggest

SAME = {"recall": "accuracy", "f1": "dice", "jaccard": "iou"}  # another's word: ours


def hint(key: str, known: list[str]) -> str:
    """Close the sentence: 'there is no score X; ...'."""
    ours = key.lower()
    for word, meant in SAME.items():
        ours = ours.replace(word, meant)
    called = [name for name in known if name.lower() == ours]
    return f"it is called {called[0]!r} here" if called else suggest(key, known)


class Monitor:
    """Follows one score.

    Args:
        text: "max Mean_IoU", "min val_loss" or "off".
        known: Names of the scores there are.
        patience: Validations without a better score before the run stops; 0 for never.

    Attributes:
        best: The best value, or None.
        waited: Validations since.

    Raises:
        UserError: If the text is of another form or names no score.
    """

    def __init__(self, text: str, known: Iterable[str], patience: int = 0):
        self.patience = patience
        self.best: float | None = None
        self.waited = 0
        if text == "off":
            self.key = None
            return
        mode, _, self.key = text.partition(" ")
        if mode not in ("max", "min") or not self.key:
            raise UserError(
                f'trainer.monitor is {text!r}; write "max <score>", "min <score>" or "off"'
            )
        if self.key not in known:
            raise UserError(
                f"trainer.monitor: there is no score {self.key!r}; " + hint(self.key, list(known))
            )
        self.sign = 1 if mode == "max" else -1

    def update(self, scores: dict[str, float]) -> bool:
        """Take in one validation; True if it is the best. An undefined score never is."""
        if self.key is None:
            return False
        value = scores[self.key]
        better = not math.isnan(value) and (
            self.best is None or self.sign * value > self.sign * self.best
        )
        if better:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        return better

    def merit(self, scores: dict[str, float]) -> float:
        """The followed score such that greater is better."""
        return self.sign * scores[self.key]

    @property
    def exhausted(self) -> bool:
        return self.key is not None and 0 < self.patience <= self.waited
