"""Arguments that are out of range."""

from __future__ import annotations

import math


def finite(**values: float | None) -> None:
    """Refuse infinity and what is no number; None passes.

    Raises:
        ValueError: Naming the argument.
    """
    for key, value in values.items():
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{key} is {value}; a finite number is needed")


def at_least(least: int, **values: float | None) -> None:
    """Refuse a value below `least`; None passes.

    Raises:
        ValueError: Naming the argument.
    """
    for key, value in values.items():
        if value is not None and value < least:
            raise ValueError(f"{key} is {value}; {least} is the least")
