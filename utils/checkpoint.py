"""Checkpoints: written whole or not at all, read without running code."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from utils.errors import UserError, memory_full
from utils.registry import suggest


def snapshot(state: Any) -> Any:
    """A copy of a state on the CPU, which training changes no more."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: snapshot(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(snapshot(value) for value in state)
    return state


def save(state: dict[str, Any], path: Path) -> None:
    """Write a checkpoint to a temporary file, sync it, and rename it into place.

    Args:
        state: Tensors and plain types only, so that `weights_only` loading reads it.
        path: Its folder exists.

    Raises:
        UserError: If it cannot be written; an older file of that name is left as it was.
    """
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):  # a folder that is read-only: it is removed when the run goes on
            part.unlink()
        raise UserError(
            f"{path} could not be written: {getattr(error, 'strerror', None) or error}; make room, "
            "or write to another folder (a run's is trainer.save_dir)"
        ) from error


def load(path: Path | str) -> dict[str, Any]:
    """Read a checkpoint or a state dict onto the CPU.

    Raises:
        UserError: If it is missing, damaged, or holds anything but tensors and plain types.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file in it, such as {path / 'best_model.pth'}")
    if not path.is_file():
        close = (
            suggest(path.name, [p.name for p in path.parent.glob("*.pth")])
            if path.parent.is_dir() and any(path.parent.glob("*.pth"))
            else "check the path"
        )
        raise UserError(f"there is no checkpoint {path}; {close}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if re.search(r"Unsupported (global|class)|GLOBAL", str(error)):
            raise UserError(
                f"{path} holds more than tensors and plain values, and reading it would run code "
                "from it, so it is refused; if you trust where it comes from, load it yourself "
                "with torch.load(..., weights_only=False) and save its state_dict alone"
            ) from error
        raise UserError(
            f"{path} is no checkpoint: it is not a file of tensors and plain values alone, as "
            "torch.save writes a state dict"
        ) from error
    except (RuntimeError, EOFError, OSError, LookupError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} is no checkpoint that can be read, probably damaged or cut short "
            f"({path.stat().st_size} bytes); take another copy, or an earlier checkpoint"
        ) from error
    if not isinstance(state, dict):
        raise UserError(f"{path} holds a {type(state).__name__}, not a checkpoint")
    return state


RUN_KEYS = (
    *("arch", "config", "classes", "palette", "normalization"),
    *("channels", "out_channels", "state_dict"),
)
RESUME_KEYS = (
    *RUN_KEYS,
    *("epoch", "iteration", "optimizer", "lr_scheduler", "scaler", "ema", "rng", "sampler"),
    *("monitor_best", "early_stop", "validated_at", "report"),
)


def load_run(path: Path | str, resume: bool = False) -> dict[str, Any]:
    """Read a checkpoint of ours, to predict with or to go on from.

    Raises:
        UserError: As `load`, or if it is a file of another kind.
    """
    state = load(path)
    missing = [key for key in (RESUME_KEYS if resume else RUN_KEYS) if key not in state]
    if missing:
        raise UserError(
            f"{path} is no checkpoint of a run here: it has no {', '.join(missing)}; plain "
            'weights go into a config\'s "init_from"'
        )
    with expected(path):
        if len(state["palette"]) < len(state["classes"]):
            raise ValueError(f"{len(state['classes'])} classes, {len(state['palette'])} colours")
    return state


@contextmanager
def expected(path: Path | str) -> Iterator[None]:
    """Around what reads a checkpoint's parts: one that is not as ours are is a user's error."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if memory_full(error):
            raise
        raise UserError(
            f"{path} is damaged, or no checkpoint of a run here: a part of it is not as expected "
            f"({type(error).__name__}: {error}); take an earlier checkpoint, or start from its "
            'weights alone with "init_from"'
        ) from error


NESTS = ("ema", "state_dict", "model_state_dict", "model")  # where files keep their weights
WRAPPED = re.compile(r"^((module|_orig_mod)\.)+")  # by nn.DataParallel and torch.compile


def tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    """The weights in a file, however deep, without the prefixes that wrappers give.

    Raises:
        UserError: If one is not a dense tensor of numbers.
    """
    by_lightning = "pytorch-lightning_version" in state
    while nest := next((key for key in NESTS if isinstance(state.get(key), dict)), None):
        state = state[nest]
    found = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    for name, value in found.items():
        if value.layout is not torch.strided or value.is_quantized or value.is_meta:
            raise UserError(
                f"the weights' tensor {name} is sparse, quantized or without values; weights are "
                "dense tensors of numbers: make it one and save the file again"
            )
    if by_lightning and all(name.startswith("model.") for name in found):
        found = {name.removeprefix("model."): value for name, value in found.items()}
    return {WRAPPED.sub("", name): value for name, value in found.items()}


def weights(state: dict[str, Any]) -> dict[str, Any]:
    """The weights to use: a checkpoint's moving average or model, or a plain state dict."""
    if state.get("ema"):
        return state["ema"]["state_dict"]
    return state.get("state_dict", state)


def load_weights(model: nn.Module, state: dict[str, Any], source: Path | str) -> None:
    """Fill a model with a state dict that must fit it exactly.

    Raises:
        UserError: Saying how much matched, and the first tensors that did not.
    """
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    extra = [key for key in state if key not in own]
    shapes = [
        f"{key} {tuple(state[key].shape)} here {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if missing or extra or shapes:
        matched = len(own) - len(missing) - len(shapes)
        parts = [f"{matched} of {len(own)} tensors match"]
        for what, names in (
            ("missing", missing),
            ("not in this model", extra),
            ("of another shape", shapes),
        ):
            if names:
                parts.append(
                    f"{len(names)} {what} ({', '.join(names[:2])}"
                    f"{', ...' if len(names) > 2 else ''})"
                )
        raise UserError(
            f"{source} does not fit the model {type(model).__name__}: {'; '.join(parts)}"
        )
    model.load_state_dict(state)
