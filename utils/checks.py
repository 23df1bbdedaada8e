"""Arguments that are out of range."""

from __future__ import annotations


def at_least(least: int, **values: float | None) -> None:
    """Refuse a value below `least`; None passes.

    Raises:
        ValueError: Naming the argument.
    """
    for key, value in values.items():
        if value is not None and value < least:
            raise ValueError(f"{key} is {value}; {least} is the least")
