"""A run's JSON file: read, extended, overridden, checked, before anything is built."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import jsonschema

from utils.errors import UserError
from utils.registry import REGISTRIES, argument_texts, schema_of, suggest

SCHEMA_URL = "https://json-schema.org/draft/2020-12/schema"


@dataclass
class Config:
    """One run of training, and all that later steps need to know of it.

    Args:
        schema: Where an editor finds the schema, such as "schema.json"; not read here.
        extends: A config, or several, that this one is laid over: objects merge, other values
            replace. Paths are relative to this file.
        about: What to expect: score, time, hardware. JSON has no comments that survive a parser.
        name: Name of the run; its folder is `<trainer.save_dir>/<name>`.
        n_gpu: Most GPUs to use; 0 for the CPU.
        use_synch_bn: Batch norm over all GPUs, where there are several.
        seed: Every random number of the run follows from it.
        arch: The model.
        train_loader: Training data, its loading and augmentation.
        val_loader: Validation data; images keep their size.
        test_loader: Data that `evaluate.py --split test` scores.
        transforms: Augmentation as a list of transforms, in place of the loader's flags.
        optimizer: One of torch.optim.
        loss: Name, section, or list of sections that are summed.
        ignore_index: Label of pixels that count for nothing, in place of the data set's own.
        lr_scheduler: Learning-rate schedule, stepped once per optimizer step.
        trainer: The loop: how long, how often to validate and save, and the engine's switches.
        predictor: How images of any size are run; the loss names a default.
        labeler: How outputs become labels; the loss names a default.
        metric: Scores, one section or a list; the loss names a default.
        postprocess: Steps on label maps, in order.
        init_from: Checkpoint or state dict whose weights the model starts from.
    """

    arch: Annotated[dict, "model"]
    train_loader: Annotated[dict, "dataset"]
    optimizer: Annotated[dict, "optimizer"]
    loss: str | Annotated[dict, "loss"] | list
    trainer: Annotated[dict, "trainer"]
    name: str = "run"
    n_gpu: int = 1
    use_synch_bn: bool = False
    seed: int = 0
    val_loader: Annotated[dict, "dataset"] | None = None
    test_loader: Annotated[dict, "dataset"] | None = None
    transforms: list[Annotated[dict, "transform"]] = field(default_factory=list)
    ignore_index: int | None = None
    lr_scheduler: Annotated[dict, "scheduler"] | None = None
    predictor: Annotated[dict, "predictor"] | None = None
    labeler: Annotated[dict, "labeler"] | None = None
    metric: Annotated[dict, "metric"] | list[Annotated[dict, "metric"]] | None = None
    postprocess: list[Annotated[dict, "postprocessor"]] = field(default_factory=list)
    init_from: str | None = None
    extends: str | list[str] | None = None
    about: str | None = None


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


def extended(path: Path, trail: tuple[Path, ...] = ()) -> dict:
    """The file's JSON laid over what it extends."""
    place = path.resolve()
    if place in trail:
        chain = " -> ".join(p.name for p in (*trail[trail.index(place) :], place))
        raise UserError(f'{path}: "extends" goes in a circle: {chain}')
    config = parse(path)
    parents = config.pop("extends", None) or []
    merged: dict = {}
    for parent in [parents] if isinstance(parents, str) else parents:
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
    """`over` laid on `base`: objects merge key by key, anything else replaces.

    A section whose `type` changes starts afresh: the old type's `args` do not fit the new one.
    """
    if "type" in over and "type" in base and over["type"] != base["type"]:
        base = {key: value for key, value in base.items() if key != "args"}
    merged = copy.deepcopy(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
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


def schema() -> dict:
    """The JSON schema of a config, from the constructors that are registered now."""
    hints, texts = get_type_hints(Config, include_extras=True), argument_texts(Config)
    properties = {
        f.name: {**schema_of(hints[f.name]), "description": texts[f.name]} for f in fields(Config)
    }
    loss = {"anyOf": [{"enum": REGISTRIES["loss"].names()}, {"$ref": "#/$defs/loss"}]}
    properties["loss"] = {
        "description": texts["loss"],
        "anyOf": [*loss["anyOf"], {"type": "array", "items": loss, "minItems": 1}],
    }
    return {
        "$schema": SCHEMA_URL,
        "title": "segforge config",
        "type": "object",
        "additionalProperties": False,
        "properties": {"$schema": {"type": "string"}, **properties},
        "required": [
            f.name for f in fields(Config) if f.default is MISSING and f.default_factory is MISSING
        ],
        "$defs": {kind: registry.schema() for kind, registry in REGISTRIES.items()},
    }


def strict(base: type) -> type:
    """A validator that takes 1.0 for no integer, as a constructor would not."""
    whole = base.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    return jsonschema.validators.extend(base, type_checker=whole)


def check(config: dict, source: str = "config") -> None:
    """Raise a UserError that lists every problem, each on a line that starts with its place."""
    validator = strict(jsonschema.Draft202012Validator)(schema())
    lines = [line for error in validator.iter_errors(config) for line in explain(error)]
    if lines:
        unique = list(dict.fromkeys(lines))
        raise UserError(f"{source}:\n  " + "\n  ".join(unique))


def explain(error: jsonschema.ValidationError) -> list[str]:
    """The sentences for one schema error."""
    place = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "anyOf":
        return explain_union(error, place)
    if error.validator == "additionalProperties":
        known = [key for key in error.schema["properties"] if key != "$schema"]
        return [
            f"{place}: unknown key {key!r}; {suggest(key, known)}"
            for key in error.instance
            if key not in error.schema["properties"]
        ]
    if error.validator == "enum":
        came, known = error.instance, error.validator_value
        if not isinstance(came, str):
            return [
                f"{place}: {json.dumps(came)} is not one of {', '.join(map(json.dumps, known))}"
            ]
        return [f"{place}: unknown {came!r}; {suggest(came, map(str, known))}"]
    if error.validator == "required":
        return [
            f"{place}: the key {key!r} is missing"
            for key in error.validator_value
            if key not in error.instance
        ]
    if error.validator == "type":
        return [f"{place}: {json.dumps(error.instance)} is not {an(error.validator_value)}"]
    if error.validator in ("minItems", "maxItems"):
        return [f"{place}: {error.validator_value} values are needed, not {len(error.instance)}"]
    return [f"{place}: {error.message}"]


def explain_union(error: jsonschema.ValidationError, place: str) -> list[str]:
    """What is wrong with the one alternative whose type fits; else the alternatives."""
    branches: dict[int, list] = {}
    for sub in error.context:
        branches.setdefault(sub.schema_path[0], []).append(sub)
    fitting = [
        subs
        for subs in branches.values()
        if not any(s.validator == "type" and not s.path for s in subs)
        and not any(
            s.validator == "enum" and not s.path and not isinstance(s.instance, str) for s in subs
        )
    ]
    if fitting:
        return [line for sub in fitting[-1] for line in explain(sub)]
    return [
        f"{place}: {json.dumps(error.instance)} is not "
        + " or ".join(alternative(branch) for branch in error.validator_value)
    ]


def alternative(branch: dict) -> str:
    if "type" in branch:
        return an(branch["type"])
    if "enum" in branch:
        return "one of " + ", ".join(map(json.dumps, branch["enum"]))
    return 'a section {"type": ..., "args": {...}}'


def an(kind: str) -> str:
    spelled = {
        "null": "null",
        "boolean": "true or false",
        "array": "a list [...]",
        "object": "an object {...}",
        "integer": "a whole number",
    }
    return spelled.get(kind, f"a {kind}")


def filled(config: dict) -> dict:
    """The config with every top-level key it leaves out, and aliases resolved in its sections."""
    full = {}
    for f in fields(Config):
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        full[f.name] = copy.deepcopy(config.get(f.name, default))
    full.pop("extends")
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
