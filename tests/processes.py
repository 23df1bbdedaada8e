"""Runs of several processes on this machine, for tests: forked from one that has imported all."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import socket
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import train
from models import MODELS, BaseModel
from utils.command import run as exit_code
from utils.logger import start_logging

ROOT = Path(__file__).parent.parent
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["processes"])


def start_server() -> None:
    """Start what the processes are forked from; the environment alone gives it a path."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests"), before or ""])
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


class GroupNormed(BaseModel):
    """Two convolutions, GroupNorm, and an auxiliary head that a loss may leave out.

    Args:
        out_channels: Channels of the output.
        dropout: Share of channels dropped.
    """

    def __init__(self, out_channels: int, dropout: float = 0.0):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU())
        self.dropout = nn.Dropout2d(dropout)
        self.head, self.aux = nn.Conv2d(8, out_channels, 1), nn.Conv2d(8, out_channels, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        features = self.dropout(self.encoder(image))
        return {"out": self.head(features), "aux": self.aux(features)}


@pytest.fixture(autouse=True)
def group_normed():
    """In test modules that import it, configs may name GroupNormed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS._classes, "GroupNormed", GroupNormed)
        yield


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def member(rank: int, world: int, port: int, nodes: int, work: Callable, args: tuple, out: str):
    """One process: as torchrun would start it."""
    local = world // nodes
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_RANK": str(rank % local),
        "LOCAL_WORLD_SIZE": str(local),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    said, errors = io.StringIO(), io.StringIO()
    torch.set_num_threads(1)
    MODELS.register(GroupNormed)
    multiprocessing.set_start_method("fork", force=True)  # loader workers end with their process
    with redirect_stdout(said), redirect_stderr(errors):
        start_logging()
        result = exit_code(lambda: work(*args))
    Path(out, f"{rank}.json").write_text(json.dumps([result, said.getvalue(), errors.getvalue()]))


def run_many(
    world: int, folder: Path, work: Callable, *args: Any, nodes: int = 1, seconds: float = 300
) -> list[tuple[int, str, str]]:
    """Run `work(*args)` in several processes; exit code, output and errors of each.

    A process that is killed has the code None.
    """
    start_server()
    out = folder / f"processes{free_port()}"
    out.mkdir()
    port = free_port()
    started = [
        CONTEXT.Process(target=member, args=(rank, world, port, nodes, work, args, str(out)))
        for rank in range(world)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(seconds)
        assert not process.is_alive(), "a process hangs"
    files = [out / f"{rank}.json" for rank in range(world)]
    return [tuple(json.loads(f.read_text())) if f.exists() else (None, "", "") for f in files]


def train_words(*words: str) -> None:
    train.main(train.parse(list(words)))
