"""Several processes that train one model, each with a share of every batch.

In a single process each function here does nothing, at no cost.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from utils.errors import UserError
from utils.interrupt import StopAsked


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_main() -> bool:
    """Whether this is the one that prints and writes."""
    return rank() == 0


def local_rank() -> int:
    """Which of the processes of this machine this is, from 0."""
    return int(os.environ.get("LOCAL_RANK", rank()))


def launcher() -> str:
    """The words that start this program as it was started, as far as they are known."""
    if world_size() == 1:
        return "python"
    here = int(os.environ.get("LOCAL_WORLD_SIZE", world_size()))
    machines = f"--nnodes={world_size() // here} ... " if world_size() > here else ""
    return f"torchrun {machines}--nproc_per_node={here}"


class PeerError(UserError):
    """A user's error that another process prints."""


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that torchrun started, where it did; leave them at the end.

    NCCL carries what is on GPUs, gloo what is on the CPU, and all where two processes share a GPU.

    Raises:
        UserError: If another process ended without a word.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    gpus = torch.cuda.device_count()
    own_gpus = gpus and int(os.environ.get("LOCAL_WORLD_SIZE", 1)) <= gpus
    dist.init_process_group("cpu:gloo,cuda:nccl" if own_gpus else "gloo")
    try:
        yield
    except RuntimeError as error:
        if not LOST.search(str(error)):
            raise
        raise UserError(  # in each: the main process may be the one that is gone
            "another process of this run has ended, and this one cannot go on without it; go on "
            "from the run's newest checkpoint with -r auto"
        ) from error
    finally:
        dist.destroy_process_group()


# what gloo, NCCL and the store say when the other side is gone
LOST = re.compile(r"[Cc]onnection (was )?(closed|reset|refused)|[Bb]roken pipe|gloo|NCCL|TCPStore")


def largest(*numbers: int) -> list[int]:
    """The largest of each number over the processes."""
    if world_size() == 1:
        return list(numbers)
    values = torch.tensor(numbers, dtype=torch.int64)
    dist.all_reduce(values, dist.ReduceOp.MAX)
    return values.tolist()


def gather(value: Any) -> list[Any]:
    """What each process gave, the main one's first; anything that can be pickled."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def require_agreement(value: Any, problem: str) -> None:
    """Refuse to go on where the processes differ in a value.

    Args:
        value: This process's; anything that can be hashed and pickled.
        problem: What that means, and what to do.

    Raises:
        UserError: In all of them.
    """
    values = gather(value)
    if len(set(values)) > 1:
        listed = ", ".join(map(str, values))
        raise (UserError if is_main() else PeerError)(f"{problem} (process by process: {listed})")


def mean(values: Tensor) -> Tensor:
    """The mean over the processes."""
    if world_size() == 1:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values / world_size()


def global_mean(total: Tensor, count: Tensor) -> Tensor:
    """total / count with the count of all processes; 0 where nothing counts.

    The gradients of the processes are averaged, so their losses are made to have the mean
    sum(total) / sum(count), as if one process had the whole batch. Without gradients, as in
    validation, where each process has batches of its own, it is this process's own mean.

    Args:
        total: Sum over what counts, a scalar.
        count: How much counts: pixels, or their weights; a scalar.
    """
    if world_size() == 1 or not torch.is_grad_enabled():
        return total / (count + (count == 0))
    count = count.detach().clone()
    dist.all_reduce(count)
    return world_size() * total / (count + (count == 0))


@torch.no_grad()
def share_buffers(model: nn.Module) -> None:
    """Give every process the main one's running statistics."""
    if world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


@contextmanager
def together() -> Iterator[None]:
    """Around what each process does by itself: an error or a stop of one is raised in all.

    The first process that has an error raises it as it is, the others as `PeerError`.
    """
    if world_size() == 1:
        yield
        return
    own: UserError | StopAsked | None = None
    try:
        yield
    except (UserError, StopAsked) as error:
        own = error
    if not largest(own is not None)[0]:
        return
    errors = gather(own)
    first = next(index for index, error in enumerate(errors) if error is not None)
    if first == rank() or isinstance(errors[first], StopAsked):
        raise errors[first] if own is None else own
    raise PeerError(str(errors[first])) from own


def launch(count: int, words: list[str]) -> int:
    """Start this program `count` times on this machine, as torchrun does; the exit code.

    Args:
        count: Processes.
        words: Its command line.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=str(os.getpid()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)(*words)
    except ChildFailedError as error:
        code = next(iter(error.failures.values())).exitcode
        return code if code >= 0 else 128 - code
    except SignalException as stop:
        return 128 + stop.sigval
    return 0
