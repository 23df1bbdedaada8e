"""Everything a config may name, as text for the terminal."""

from __future__ import annotations

import inspect
import json
import textwrap

from utils.errors import UserError
from utils.registry import REGISTRIES, Registry, signature_schema, suggest


def overview() -> str:
    """Every registry with its names; aliases behind the name they stand for."""
    lines = []
    for kind, registry in REGISTRIES.items():
        others: dict[str, list[str]] = {}
        for alias, (target, _) in registry.aliases().items():
            others.setdefault(target, []).append(alias)
        names = [
            f"{name} ({', '.join(others[name])})" if name in others else name for name in registry
        ]
        text = ", ".join(names) or "none yet"
        lines.append(
            textwrap.fill(
                text, 80, initial_indent=f"{plural(kind):<16}", subsequent_indent=" " * 16
            )
        )
    lines += ["", "python train.py --describe NAME explains one of them"]
    return "\n".join(lines)


def plural(kind: str) -> str:
    return kind + ("es" if kind.endswith("s") else "s")


def describe(name: str) -> str:
    """What a name builds, and its arguments with their types, defaults and meaning.

    Raises:
        UserError: If no registry has that name.
    """
    found = [registry for registry in REGISTRIES.values() if name in registry]
    if not found:
        known = [n for registry in REGISTRIES.values() for n in registry.names()]
        raise UserError(f"there is nothing called {name!r}; {suggest(name, known)}")
    return "\n\n".join(describe_in(registry, name) for registry in found)


def describe_in(registry: Registry, name: str) -> str:
    cls = registry[name]
    target, preset = registry.aliases().get(name, (name, {}))
    title = f"{name} ({registry.kind})" + (f": another name for {target}" if target != name else "")
    title += f" with {json.dumps(preset)}" if preset else ""
    doc = inspect.cleandoc(cls.__doc__ or "").split("\nArgs:")[0].strip()
    paragraphs = [textwrap.fill(" ".join(p.split()), 80) for p in doc.split("\n\n")]
    lines = [title, "", "\n\n".join(paragraphs), ""]
    lines += argument_lines(signature_schema(cls, registry.supplied))
    for part, passed in registry.within.items():
        lines += ["", *argument_lines(signature_schema(part, passed))]
    if registry.beside:
        lines += [
            "",
            'beside "type" and "args":',
            *argument_lines(signature_schema(registry.beside)),
        ]
    return "\n".join(lines)


def argument_lines(schema: dict) -> list[str]:
    lines = []
    for key, value in schema["properties"].items():
        state = (
            "required"
            if key in schema["required"]
            else json.dumps(value["default"])
            if "default" in value
            else ""
        )
        text = f"{key}: {spelled(value)}" + (f" = {state}" if state else "")
        lines.append(textwrap.fill(text, 80, initial_indent="  ", subsequent_indent=" " * 6))
        if "description" in value:
            lines.append(
                textwrap.fill(
                    value["description"], 80, initial_indent=" " * 6, subsequent_indent=" " * 6
                )
            )
    return lines or ["  no arguments"]


def spelled(schema: dict) -> str:
    """A schema as a short phrase."""
    if "anyOf" in schema:
        return " or ".join(spelled(part) for part in schema["anyOf"])
    if "pattern" in schema:
        return f"text matching {schema['pattern']}"
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "$ref" in schema:
        return f"a {schema['$ref'].rsplit('/', 1)[-1]} section"
    if schema.get("type") == "array":
        parts = schema.get("prefixItems")
        if parts:
            return "[" + ", ".join(map(spelled, parts)) + "]"
        return f"list of {spelled(schema.get('items', {}))}"
    return schema.get("type", "anything")
