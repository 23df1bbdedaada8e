"""The registry of schedules, each stepped once per optimizer step."""

from utils.registry import Registry

SCHEDULERS = Registry("scheduler", supplied=("optimizer", "total_steps"))
