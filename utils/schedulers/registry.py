"""The registry of schedules, each stepped once per optimizer step, with a warm-up in front."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from utils.errors import UserError
from utils.registry import Registry, refuse_unlisted
from utils.schedulers.schedule import Schedule, adopted
from utils.schedulers.warm_up import WarmUp

# of torch's schedules, which divide by them in a step
COUNTS = {"T_max", "step_size", "step_size_up", "step_size_down"}


class ScheduleRegistry(Registry):
    """Schedules by name; the keys of `WarmUp` stand among the args of each."""

    def register(self, cls: Callable) -> Callable:
        """Class decorator; a schedule in torch's manner is brought under ours."""
        super().register(cls if issubclass(cls, Schedule) else adopted(cls))
        return cls

    def build(self, spec: dict | str, **supplied: Any) -> Schedule:
        """Construct a schedule and put its warm-up in front of it."""
        spec = self.resolve(spec)
        _, asked = self.split(spec)
        args = {key: value for key, value in spec["args"].items() if key not in asked}
        try:
            refuse_unlisted(WarmUp, asked)
            for key in COUNTS & args.keys():
                if isinstance(args[key], int) and args[key] < 1:
                    raise ValueError(f"{key} is {args[key]}; 1 is the least")
            schedule = super().build({**spec, "args": args}, **supplied)
            schedule.begin(WarmUp(supplied["total_steps"], **asked))
        except (ValueError, TypeError, ZeroDivisionError) as error:
            raise UserError(f"{self.kind} {spec['type']}: {error}") from error
        return schedule


# no config can write the last two: the program counts the steps, and JSON has no functions
SCHEDULERS = ScheduleRegistry(
    "scheduler",
    supplied=("optimizer", "total_steps", "steps_per_epoch", "last_epoch", "scale_fn"),
    within={WarmUp: ("total_steps",)},
)
