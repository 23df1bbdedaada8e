"""Batches on their way to the device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor


def on_device(
    batches: Iterable[dict[str, Any]], device: torch.device, memory_format: torch.memory_format
) -> Iterator[dict[str, Any]]:
    """The batches with every tensor on a device, images (B, C, H, W) in a memory format.

    A GPU copies the next batch on a stream of its own, while it computes on the last.
    """
    if device.type != "cuda":
        yield from (move(batch, device, memory_format) for batch in batches)
        return
    stream = torch.cuda.Stream(device)
    for batch in batches:
        computing = torch.cuda.current_stream(device)
        with torch.cuda.stream(stream):
            moved = move(batch, device, memory_format)
        computing.wait_stream(stream)
        for tensor in tensors(moved):
            tensor.record_stream(computing)  # or its memory might be given out too early
        yield moved


def move(value: Any, device: torch.device, memory_format: torch.memory_format) -> Any:
    """A tensor, or all of a dict of them, on the device; anything else as it is."""
    if isinstance(value, dict):
        return {name: move(part, device, memory_format) for name, part in value.items()}
    if not isinstance(value, Tensor):
        return value
    moved = value.to(device, non_blocking=True)
    return moved.to(memory_format=memory_format) if moved.ndim == 4 else moved


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in a dict, however deep."""
    if isinstance(value, dict):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, Tensor):
        yield value
