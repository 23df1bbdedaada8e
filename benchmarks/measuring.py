"""How the benchmarks measure: seconds, memory, and what the machine can do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch


def seconds(work: Callable[[], object], device: str) -> float:
    """What a piece of work takes, the device waited for."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def resident(key: str) -> int:
    """Bytes in memory now (VmRSS) or at most (VmHWM), as Linux counts them."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0]) * 1024


def copy_bandwidth(device: str) -> float:
    """Bytes a second that a large copy reads and writes, the best of five."""
    source = torch.rand(2**26, device=device)
    target = torch.empty_like(source)
    best = min(seconds(lambda: target.copy_(source), device) for _ in range(5))
    return 2 * source.nbytes / best
