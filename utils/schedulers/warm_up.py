"""A gentle start for any schedule."""

from __future__ import annotations

from typing import Literal


class WarmUp:
    """The share of a schedule's rate at each step of a run's start; 1 after it.

    At step t of W it is f + (1 - f) * (t + 1) / (W + 1) for "linear" and f for "constant". The
    schedule's own steps count from the start of the run, not from the end of the warm-up.
    Goyal et al., Accurate, Large Minibatch SGD, 2017 (arXiv:1706.02677).

    Args:
        total_steps: Optimizer steps of the run.
        warmup_steps: Optimizer steps of the warm-up, W; 0 for none.
        warmup: "linear" rises in a straight line, "constant" holds the start.
        warmup_factor: Share of the rate at the start, f, 0-1.
    Raises:
        ValueError: If the warm-up is negative or as long as the run, the factor is outside 0-1, a
            constant one is 0, or a shape or factor is given without any steps.
    """

    def __init__(
        self,
        total_steps: int,
        warmup_steps: int = 0,
        warmup: Literal["linear", "constant"] = "linear",
        warmup_factor: float = 0.0,
    ):
        if warmup_steps and not 0 <= warmup_steps < total_steps:
            raise ValueError(f"warmup_steps is {warmup_steps}, but the run has {total_steps} steps")
        if not 0 <= warmup_factor <= 1:
            raise ValueError(f"warmup_factor is {warmup_factor}; it goes from 0 to 1")
        if not warmup_steps and (warmup_factor or warmup != "linear"):
            raise ValueError(
                f"warmup is {warmup!r} and warmup_factor {warmup_factor}, but warmup_steps is 0, "
                "which is no warm-up; set warmup_steps"
            )
        if warmup == "constant" and warmup_factor == 0:
            raise ValueError("a constant warm-up needs a warmup_factor above 0, such as 0.1")
        self.steps, self.start = warmup_steps, warmup_factor
        self.slope = {"linear": 1 - warmup_factor, "constant": 0.0}[warmup]

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return 1.0
        return self.start + self.slope * ((step + 1) / (self.steps + 1))
