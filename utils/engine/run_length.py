"""How long a run is."""

from __future__ import annotations

import math


def run_length(
    epochs: int | None, iterations: int | None, accumulate: int, per_epoch: int
) -> tuple[int, int]:
    """Batches and optimizer steps of a run.

    Args:
        epochs: Passes over the data, or None.
        iterations: Batches in place of epochs, or None.
        accumulate: Batches that make one step.
        per_epoch: Batches of a pass.

    Raises:
        ValueError: If not exactly one of epochs and iterations is given, or a number is below 1.
    """
    if (epochs is None) == (iterations is None):
        raise ValueError("give either epochs or iterations")
    given = {"epochs": epochs, "iterations": iterations, "accumulate": accumulate}
    for key, value in given.items():
        if value is not None and value < 1:
            raise ValueError(f"{key} is {value}; 1 is the least")
    total = epochs * per_epoch if iterations is None else iterations
    passes, rest = divmod(total, per_epoch)  # no step reaches over an epoch
    return total, passes * math.ceil(per_epoch / accumulate) + math.ceil(rest / accumulate)
