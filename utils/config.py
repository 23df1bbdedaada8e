"""A run's JSON file: read, extended, overridden, filled in."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.registry import REGISTRIES
from utils.run_place import require_folder_name
from utils.schema import Config, check, check_section


def read_config(path: str | Path, overrides: list[str] = ()) -> dict:
    """A config with what it extends merged in, overrides applied and every problem reported at
    once.

    Args:
        path: The JSON file; comments and trailing commas are allowed.
        overrides: "a.b=value" each; the value is JSON, or else a string; a list index is a number.

    Raises:
        UserError: If the file cannot be read or parsed, an override has no place, or the config
            does not follow the schema.
    """
    config = extended(Path(path))
    for text in overrides:
        override(config, text)
    check(config, str(path))
    return filled(config)


def read_arch(path: str | Path | None, overrides: list[str] = (), name: str | None = None) -> dict:
    """A config of which only `arch` is needed; one with a train_loader is checked whole.

    Args:
        path: The JSON file; None for an empty config.
        overrides: As for `read_config`.
        name: Of a model with its defaults, in place of the file's.

    Raises:
        UserError: As `read_config`, or if there is no `arch`.
    """
    config = extended(Path(path)) if path else {}
    if name:
        config["arch"] = {"type": name}
    for text in overrides:
        override(config, text)
    if "arch" not in config:
        raise UserError(f'{path or "the config"} names no model: "arch" is missing')
    if path and "train_loader" in config:
        check(config, str(path))
    else:
        check_section(config["arch"], "model", "arch")
    return config


def extended(path: Path, trail: tuple[Path, ...] = ()) -> dict:
    """The file's JSON laid over what it extends."""
    place = path.resolve()
    if place in trail:
        chain = " -> ".join(p.name for p in (*trail[trail.index(place) :], place))
        raise UserError(f'{path}: "extends" goes in a circle: {chain}')
    config = parse(path)
    parents = config.pop("extends", None) or []
    merged: dict = {}
    for parent in parents if isinstance(parents, list) else [parents]:
        if not isinstance(parent, str):
            raise UserError(f"{path}: extends: {parent!r} is no path")
        merged = merge(merged, extended(path.parent / parent, (*trail, place)))
    return merge(merged, config)


def parse(path: Path) -> dict:
    """The JSON object in a file, without its comments and trailing commas.

    Raises:
        UserError: If it is missing, no text, or no JSON object; with line and column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(f"{path} cannot be read: {reason}") from error
    try:
        config = json.loads(
            plain_json(text), object_pairs_hook=unique_keys, parse_constant=no_constant
        )
    except json.JSONDecodeError as error:
        raise UserError(f"{path} line {error.lineno} column {error.colno}: {error.msg}") from error
    except (UserError, RecursionError) as error:
        raise UserError(f"{path}: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"{path} holds a {type(config).__name__}; a config is an object {{...}}")
    return config


def plain_json(text: str) -> str:
    """Blank out `//` and `/* */` comments and trailing commas; every place stays where it was."""

    def blank(match: re.Match) -> str:
        kept = match[0]
        return kept if kept.startswith('"') else re.sub(r"[^\n]", " ", kept)

    string = r'"(?:\\.|[^"\\\n])*"'
    text = re.sub(rf"{string}|//[^\n]*|/\*.*?\*/", blank, text, flags=re.DOTALL)
    return re.sub(rf"{string}|,(?=\s*[}}\]])", blank, text)


def unique_keys(pairs: list[tuple[str, Any]]) -> dict:
    found: dict = {}
    for key, value in pairs:
        if key in found:
            raise UserError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found


def no_constant(name: str) -> None:
    raise UserError(f"{name} is no number that JSON has")


def merge(base: dict, over: dict) -> dict:
    """`over` laid on `base`: objects merge key by key, null takes a key out, the rest replaces.

    A section whose `type` changes starts afresh: the old type's `args` do not fit the new one.
    """
    if "type" in over and "type" in base and over["type"] != base["type"]:
        base = {key: value for key, value in base.items() if key != "args"}
    merged = copy.deepcopy(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        if value is None and key in merged:
            del merged[key]
        else:
            merged[key] = merge(merged[key], value) if both else copy.deepcopy(value)
    return merged


def override(config: dict, text: str) -> None:
    """Apply one "a.b=value", in place; missing objects on the way are made."""
    place, equals, raw = text.partition("=")
    if not equals or not place:
        raise UserError(f"--set {text}: write it as key.key=value")
    try:
        value = json.loads(raw, parse_constant=no_constant)
    except json.JSONDecodeError:
        value = raw
    *way, last = place.split(".")
    node: Any = config
    for step, key in enumerate(way):
        if isinstance(node, dict) and node.get(key) is None:
            node[key] = {}
        node = element(node, key, ".".join(way[:step]), text)
    if last == "type" and isinstance(node, dict) and node.get("type", value) != value:
        node.pop("args", None)  # as in `merge`: they belong to the old type
    if isinstance(node, list):
        element(node, last, ".".join(way), text)
        node[int(last)] = value
    elif isinstance(node, dict):
        node[last] = value
    else:
        raise UserError(f"--set {text}: {'.'.join(way)} is {json.dumps(node)}, which has no keys")


def element(node: Any, key: str, place: str, text: str) -> Any:
    if isinstance(node, dict):
        return node[key]
    if isinstance(node, list):
        if not key.isdigit() or int(key) >= len(node):
            raise UserError(
                f"--set {text}: {place} is a list of {len(node)}; {key!r} is not an index into it"
            )
        return node[int(key)]
    raise UserError(
        f"--set {text}: {place or 'the config'} is {json.dumps(node)}, which has no keys"
    )


def filled(config: dict) -> dict:
    """The config with every top-level key it leaves out, and aliases resolved in its sections.

    Raises:
        UserError: If its name is no folder's.
    """
    full = {}
    for f in fields(Config):
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        full[f.name] = copy.deepcopy(config.get(f.name, default))
    full.pop("extends")
    require_folder_name(full["name"])
    kinds = {
        "arch": "model",
        "train_loader": "dataset",
        "val_loader": "dataset",
        "test_loader": "dataset",
        "optimizer": "optimizer",
        "lr_scheduler": "scheduler",
        "trainer": "trainer",
    }
    for key, kind in kinds.items():
        if full[key] is not None:
            full[key] = REGISTRIES[kind].resolve(full[key])
    return full


def difference(old: dict, new: dict, place: str = "") -> list[str]:
    """Lines "a.b: old -> new" for every value that differs."""
    lines = []
    for key in sorted(old.keys() | new.keys()):
        here = f"{place}{key}"
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            lines += difference(before, after, f"{here}.")
        elif before != after:
            lines.append(f"{here}: {json.dumps(before)} -> {json.dumps(after)}")
    return lines
