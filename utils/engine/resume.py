"""Which run to train: a new one, or one to go on with."""

from __future__ import annotations

import copy
import json
import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils import checkpoint
from utils.config import difference, filled, override, read_config
from utils.errors import UserError
from utils.schema import check
from utils.scoring import with_defaults

log = logging.getLogger("segforge")

QUICKSTART = str(Path(__file__).parent.parent.parent / "configs" / "quickstart.json")
# what may differ between two configs of which the one's run is the other's
ASIDE = re.compile(r"n_gpu|trainer\.(save_dir|log_dir)|train_loader\.args\.num_workers")


@dataclass
class Start:
    """Where training starts.

    Attributes:
        config: The config, filled in.
        state: Checkpoint to go on from, or None.
        source: Its file.
        folder: Run folder to go on in, or None for a new one.
    """

    config: dict
    state: dict[str, Any] | None = None
    source: Path | None = None
    folder: Path | None = None


def choose_start(
    config_path: str | None, resume: str | None, overrides: list[str], exactly: bool = False
) -> Start:
    """What `-c`, `-r` and `--set` mean together.

    `-r FILE` alone goes on under the checkpoint's config in its folder; with `-c` under that
    config, in a new folder. `-r auto` goes on in the folder of the newest checkpoint of the
    config's runs; of runs of this very config alone where it is to be `exactly` that.

    Raises:
        UserError: If the config or the checkpoint cannot be used.
    """
    if resume is None:
        return Start(read_config(config_path or QUICKSTART, overrides))
    if resume == "auto":
        config = read_config(config_path or QUICKSTART, overrides)
        source, state = newest(config, exactly)
        if source is None:
            log.info("-r auto: %s has no checkpoint yet, so the run starts afresh", config["name"])
            return Start(config)
        log.info("-r auto: going on from %s", source)
        folder = source.parent
    else:
        config, source = None, Path(resume)
        folder = None if config_path else source.parent
        state = checkpoint.load_run(source, resume=True)
    if config is None:
        config = read_config(config_path, overrides) if config_path else stored(state, overrides)
    with checkpoint.expected(source):
        for line in changes(state["config"], config):
            log.info("changed since the checkpoint: %s", line)
    return Start(config, state, source, folder)


def changes(was: dict, now: dict) -> list[str]:
    """What a config has otherwise than that of a checkpoint, a line each."""
    now = with_defaults({**now, "ignore_index": was["ignore_index"]})
    return difference({**was, "about": None}, {**now, "about": None})


def stored(state: dict[str, Any], overrides: list[str]) -> dict:
    """The checkpoint's config under overrides."""
    config = copy.deepcopy(state["config"])
    for text in overrides:
        override(config, text)
    check(config, "the checkpoint's config")
    return filled(config)


def newest(config: dict, exactly: bool) -> tuple[Path | None, dict[str, Any] | None]:
    """The newest checkpoint of this config's runs that loads, and its state.

    Where there is none, files that killed runs left half-written are removed.
    """
    runs = Path(config["trainer"]["save_dir"]) / config["name"]
    foreign: set[Path] = set()

    def age(path: Path) -> tuple[float, bool]:
        return path.stat().st_mtime, path.name == "last.pth"

    for path in sorted(runs.glob("*/*.pth"), key=age, reverse=True):
        if path.parent in foreign:
            continue
        try:
            state = checkpoint.load_run(path, resume=True)
            with checkpoint.expected(path):
                other = otherwise(state["config"], config, exactly)
        except UserError as error:
            log.warning("%s", error)
            continue
        if not other:
            return path, state
        log.warning("-r auto: %s is of another config (%s), so it stays", path.parent, other)
        foreign.add(path.parent)
    for left in runs.glob("*/*.part"):
        with suppress(OSError):
            left.unlink()
    return None, None


def otherwise(was: dict, now: dict, exactly: bool) -> str:
    """What makes the one config's run no run of the other, or an empty string."""
    if exactly:
        return "; ".join(line for line in changes(was, now) if not ASIDE.match(line))
    for section, key in (("arch", "type"), ("trainer", "smoke"), ("trainer", "overfit_batches")):
        before, after = was[section][key], now[section][key]
        if before != after:
            return f"{section}.{key}: {json.dumps(before)}, not {json.dumps(after)}"
    return ""
