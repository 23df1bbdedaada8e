"""Loss terms and gradients of each step: read without making the device wait, refused where they
are not finite."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils import checkpoint
from utils.distributed import PeerError, gather, mean, rank
from utils.errors import UserError


class Reading:
    """What one step gave.

    Args:
        iteration: Number of the step, from 1.
        batch: What it was given.
        terms: Loss terms of this process's share of the batch.
        norm: Norm of the gradient, where an update followed.
        group: Names of this batch and those before it that make one update.

    Attributes:
        own: Terms of this process.
        terms: Their means over the processes.
        norm: Norm of the gradient; 0 where no update followed.
    """

    def __init__(
        self,
        iteration: int,
        batch: dict[str, Any],
        terms: dict[str, Tensor],
        norm: Tensor | None,
        group: list[str],
    ):
        self.iteration, self.batch, self.names = iteration, batch, list(terms)
        self.group = group
        own = torch.stack([term.detach().float() for term in terms.values()])
        norm = own.new_zeros(()) if norm is None else norm.detach().float()
        numbers = torch.cat([own, mean(own), norm[None]])
        self._ready = None
        if numbers.is_cuda:
            self._numbers = torch.empty_like(numbers, device="cpu", pin_memory=True)
            self._numbers.copy_(numbers, non_blocking=True)
            self._ready = torch.cuda.Event()
            self._ready.record()
        else:
            self._numbers = numbers

    def read(self) -> Reading:
        """Fill in the attributes, when the device has come so far."""
        if self._ready is not None:
            self._ready.synchronize()
        *values, self.norm = self._numbers.tolist()
        count = len(self.names)
        self.own = dict(zip(self.names, values[:count], strict=True))
        self.terms = dict(zip(self.names, values[count:], strict=True))
        return self

    @property
    def is_finite(self) -> bool:
        return all(map(math.isfinite, [*self.terms.values(), self.norm]))

    def trouble(self) -> str:
        """What is not finite here, or an empty string."""
        bad = [f"the loss term {k!r} is {v}" for k, v in self.own.items() if not math.isfinite(v)]
        if not bad and not math.isfinite(self.norm):
            bad = [f"the gradient's norm is {self.norm}"]
        return " and ".join(bad)


class Readings:
    """The steps whose numbers are still to be read: on a GPU the latest one.

    Args:
        device: Where the steps are computed.
    """

    def __init__(self, device: torch.device):
        self.late = int(device.type == "cuda")
        self.waiting: deque[Reading] = deque()

    def put(self, reading: Reading) -> None:
        self.waiting.append(reading)

    def take(self, everything: bool = False) -> Iterator[Reading]:
        """Those that need not be waited for, or all, in their order."""
        while len(self.waiting) > (0 if everything else self.late):
            yield self.waiting.popleft().read()


def refuse(reading: Reading, folder: Path | None, refused: int = 0) -> None:
    """Raise for a reading that is not finite, and keep its batch.

    Args:
        reading: Of the first process that has trouble this is told; of a gradient, which all
            processes and batches of its group share, all their files.
        folder: Where the main process writes `debug_batch.pt`; None for nowhere.
        refused: Updates in a row that float16's scaler left out.

    Raises:
        UserError: With what is not finite, the iteration and the batch's files.
    """
    found = gather((reading.trouble(), plain_batch(reading)) if reading.trouble() else None)
    local = [index for index, one in enumerate(found) if one and "term" in one[0]]
    first = local[0] if local else next(i for i, one in enumerate(found) if one)
    trouble, batch = found[first]
    files = batch["name"] if local else [name for one in found if one for name in one[1]["group"]]
    saved = ""
    if folder is not None:
        saved = f" ({keep(batch, folder / 'debug_batch.pt')})"
    if rank():
        raise PeerError(trouble)
    float16 = f"float16 left out {refused} updates in a row, " if refused else ""
    ways = 'set trainer.amp to "bf16" or false, ' if refused else ""
    raise UserError(
        f"{float16}{trouble} at iteration {reading.iteration}, on the batch {', '.join(files)}"
        f"{saved}; {ways}lower the learning rate, set trainer.clip_grad_norm, set trainer.on_nan "
        'to "skip", or look at these files'
    )


def keep(batch: dict[str, Any], path: Path) -> str:
    """Write a batch; says where, or why that could not be."""
    try:
        checkpoint.save(batch, path)
        return f"saved in {path}"
    except UserError as error:
        return str(error)


def plain_batch(reading: Reading) -> dict[str, Any]:
    """The batch on the CPU with what it gave; tensors and plain types only."""
    tensors = {
        key: value.cpu() if isinstance(value, Tensor) else {k: v.cpu() for k, v in value.items()}
        for key, value in reading.batch.items()
        if isinstance(value, Tensor | dict)
    }
    about = {"name": list(reading.batch["name"]), "group": reading.group}
    about["iteration"] = reading.iteration
    return {**tensors, **about, "terms": reading.own, "gradient_norm": reading.norm}
