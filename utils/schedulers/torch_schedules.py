"""torch's schedules by name; what they call an epoch is an optimizer step here."""

from __future__ import annotations

import inspect

from torch.optim import lr_scheduler

from utils.schedulers.registry import SCHEDULERS

UNFIT = {
    *("LRScheduler", "_LRScheduler"),  # the promise, not a schedule
    *("LambdaLR", "MultiplicativeLR"),  # take a function
    *("ChainedScheduler", "SequentialLR"),  # take other schedules
    "ReduceLROnPlateau",  # is our Plateau
}

for name, cls in inspect.getmembers(lr_scheduler, inspect.isclass):
    if issubclass(cls, lr_scheduler.LRScheduler) and name not in UNFIT:
        SCHEDULERS.register(cls)
