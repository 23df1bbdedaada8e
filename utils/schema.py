"""The JSON schema of a config, generated from the registered constructors, and its messages."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, dataclass, field, fields
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
        use_synch_bn: Batch norm sees the images of all processes: torch's SyncBatchNorm, on GPUs.
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
    required = [
        f.name for f in fields(Config) if f.default is MISSING and f.default_factory is MISSING
    ]
    return {
        "$schema": SCHEMA_URL,
        "title": "segforge config",
        "type": "object",
        "additionalProperties": False,
        "properties": {"$schema": {"type": "string"}, **properties},
        "if": {"not": {"required": ["extends"]}},
        "then": {"required": required},
        "$defs": sections(),
    }


def sections() -> dict[str, dict]:
    """The schema of a section by the kind of what it builds."""
    return {kind: registry.schema() for kind, registry in sorted(REGISTRIES.items())}


def strict(base: type) -> type:
    """A validator that takes 1.0 for no integer, as a constructor would not."""
    whole = base.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    return jsonschema.validators.extend(base, type_checker=whole)


def check(config: dict, source: str = "config") -> None:
    """Raise a UserError that lists every problem, each on a line that starts with its place."""
    _check(config, schema(), source)


def check_section(section: dict, kind: str, source: str) -> None:
    """The same for one section that the registry of `kind` builds."""
    _check(section, {"$ref": f"#/$defs/{kind}", "$defs": sections()}, source)


def _check(instance: dict, against: dict, source: str) -> None:
    validator = strict(jsonschema.Draft202012Validator)(against)
    lines = [line for error in validator.iter_errors(instance) for line in explain(error)]
    lines += unwritable_texts(instance)
    if lines:
        raise UserError(f"{source}:\n  " + "\n  ".join(dict.fromkeys(lines)))


def unwritable_texts(node: Any, place: str = "") -> list[str]:
    """A line for each text that no path and no output could hold."""
    if isinstance(node, dict | list):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        return [line for k, v in items for line in unwritable_texts(v, f"{place}.{k}".strip("."))]
    if isinstance(node, str) and re.search("[\0\ud800-\udfff]", node):
        return [f"{place}: {json.dumps(node)} has a character that no text file holds; take it out"]
    return []


def explain(error: jsonschema.ValidationError) -> list[str]:
    """The sentences for one schema error."""
    place = ".".join(map(str, error.absolute_path)) or "top level"
    if error.validator == "anyOf":
        return explain_union(error, place)
    if error.validator == "additionalProperties":
        known = [key for key in error.schema["properties"] if key != "$schema"]
        return [
            f"{place}: unknown key {key!r}; {home_of(key, error) or suggest(key, known)}"
            for key in error.instance
            if key not in error.schema["properties"]
        ]
    if error.validator == "enum":
        came, known = error.instance, error.validator_value
        if not isinstance(came, str):
            return [
                f"{place}: {json.dumps(came)} is not one of {', '.join(map(json.dumps, known))}"
            ]
        hint = " (--import brings in your own)" if place.endswith("type") else ""
        return [f"{place}: unknown {came!r}; {suggest(came, map(str, known))}{hint}"]
    if error.validator == "required":
        return [
            f"{place}: the key {key!r} is missing"
            for key in error.validator_value
            if key not in error.instance
        ]
    if error.validator == "type":
        return [f"{place}: {json.dumps(error.instance)} is not {an(error.validator_value)}"]
    if error.validator == "minimum":
        return [f"{place}: {error.instance} is too small; {error.validator_value} is the least"]
    if error.validator in ("minItems", "maxItems"):
        return [f"{place}: {error.validator_value} values are needed, not {len(error.instance)}"]
    return [f"{place}: {error.message}"]


def home_of(key: str, error: jsonschema.ValidationError) -> str:
    """Where else an unknown key would be known, as the end of a sentence; "" for nowhere."""
    if error.absolute_path:
        place = ".".join(map(str, error.absolute_path))
        found = [place_in(error.schema, key, error.instance, place)]
    else:
        kinds = {
            name: re.search(r"#/\$defs/(\w+)", json.dumps(part))
            for name, part in error.schema["properties"].items()
        }
        found = [
            place_in(error.schema["$defs"][kind[1]], key, error.instance[name], name)
            for name, kind in kinds.items()
            if kind and isinstance(error.instance.get(name), dict)
        ]
    return f"it goes into {' or '.join(filter(None, found))}" if any(found) else ""


def place_in(section: dict, key: str, instance: dict, name: str) -> str:
    """The part of a section, of that schema and name, that knows a key; "" for none."""
    for when in section.get("allOf", []):
        if instance.get("type") in (None, when["if"]["properties"]["type"]["const"]):
            properties = when["then"]["properties"]
            if key in properties:
                return name
            if key in properties.get("args", {}).get("properties", {}):
                return f"{name}.args"
    return ""


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
        patterns = [s for subs in fitting[:-1] for s in subs if s.validator == "pattern"]
        names = [s.validator_value.removeprefix("^").replace(".+", "<name>") for s in patterns]
        hint = f" (or {', '.join(names)})" if names else ""
        return [line + hint for sub in fitting[-1] for line in explain(sub)]
    return [
        f"{place}: {json.dumps(error.instance)} is not "
        + " or ".join(alternative(branch) for branch in error.validator_value)
    ]


def alternative(branch: dict) -> str:
    if "type" in branch:
        return an(branch["type"])
    if "enum" in branch:
        if len(branch["enum"]) > 12:
            return "a known name"
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
