"""Registries: the names a config may use, the classes they build, and the JSON schema of both."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from utils.errors import UserError

REGISTRIES: dict[str, Registry] = {}

Positive = Annotated[int, range(1, 2**31)]  # a hint: the schema refuses what is below

JSON_TYPES = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    dict: "object",
    list: "array",
    NoneType: "null",
}


class Registry:
    """Maps the `type` of a config section to the class it names.

    Args:
        kind: What is registered, in the singular ("model"); names the registry in messages and is
            the key under which `Annotated[dict, kind]` finds its schema.
        supplied: Constructor parameters that the program passes to `build`; a config may not set
            them. A constructor that does not name one of them is not given it.
        within: Callables whose parameters are also keys of the section's `args`, each with those
            of its parameters that the program passes; the program takes the others out with
            `split` before it builds. A parameter of the class itself goes before one of theirs.
        beside: A callable whose parameters are keys of the section beside `type` and `args`.
        flat: The constructor's parameters stand in the section itself; there is no `args`.
        default: Name for a section that has no `type`.
    """

    def __init__(
        self,
        kind: str,
        supplied: tuple[str, ...] = (),
        within: dict[Callable, tuple[str, ...]] | None = None,
        beside: Callable | None = None,
        flat: bool = False,
        default: str | None = None,
    ):
        self.kind = kind
        self.supplied = supplied
        self.within = within or {}
        self.beside = beside
        self.flat = flat
        self.default = default
        self._classes: dict[str, Callable] = {}
        self._aliases: dict[str, tuple[str, dict]] = {}
        REGISTRIES[kind] = self

    def register(self, cls: Callable) -> Callable:
        """Class decorator: let configs build `cls` under its own name.

        Raises:
            ValueError: If the name is taken.
        """
        self._refuse_taken(cls.__name__)
        self._classes[cls.__name__] = cls
        return cls

    def alias(self, name: str, target: str, **preset: Any) -> None:
        """Accept `name` for `target`, with `preset` arguments that a config may still override.

        Raises:
            ValueError: If the name is taken.
        """
        self._refuse_taken(name)
        self._aliases[name] = (target, preset)

    def _refuse_taken(self, name: str) -> None:
        if name in self._classes or name in self._aliases:
            raise ValueError(f"two {self.kind}s are called {name!r}")

    def __getitem__(self, name: str) -> Callable:
        name = self._aliases.get(name, (name,))[0]
        if name not in self._classes:
            raise UserError(f"unknown {self.kind} {name!r}; {suggest(name, self.names())}")
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._classes))

    def __len__(self) -> int:
        return len(self._classes)

    def __contains__(self, name: str) -> bool:
        return name in self._classes or name in self._aliases

    def names(self) -> list[str]:
        """Every name a config may use, aliases included."""
        return sorted([*self._classes, *self._aliases])

    def aliases(self) -> dict[str, tuple[str, dict]]:
        """Each alias with the name it stands for and the arguments it presets."""
        return dict(sorted(self._aliases.items()))

    def resolve(self, spec: dict | str) -> dict:
        """The same section with aliases replaced by what they stand for, presets filled in."""
        spec = {"type": spec} if isinstance(spec, str) else {"type": self.default, **spec}
        target, preset = self._aliases.get(spec["type"], (spec["type"], {}))
        if self.flat:
            return {**self._defaults(target), **preset, **spec, "type": target}
        return {**spec, "type": target, "args": {**preset, **spec.get("args", {})}}

    def _defaults(self, name: str) -> dict[str, Any]:
        found = parameters(self._classes[name]) if name in self._classes else {}
        return {
            key: list(p.default) if isinstance(p.default, tuple) else p.default
            for key, p in found.items()
            if key not in self.supplied and p.default is not p.empty
        }

    def build(self, spec: dict | str, **supplied: Any) -> Any:
        """Construct what `spec`, a `{"type": ..., "args": {...}}` section or a bare name,
        describes.

        Raises:
            UserError: If the name is unknown or the class refuses its arguments.
        """
        spec = self.resolve(spec)
        cls = self[spec["type"]]
        if self.flat:
            args = {key: value for key, value in spec.items() if key != "type"}
        else:
            args = spec["args"]
        known = parameters(cls)
        unknown = [key for key in args if key not in known]
        if unknown:
            raise UserError(
                f"{self.kind} {spec['type']}: unknown argument {unknown[0]!r}; "
                + suggest(unknown[0], [k for k in known if k not in self.supplied])
            )
        missing = [
            key
            for key, p in known.items()
            if p.default is p.empty and key not in args and key not in supplied
        ]
        if missing:
            raise UserError(f"{self.kind} {spec['type']}: {missing[0]!r} must be given")
        given = {key: value for key, value in supplied.items() if key in known}
        try:
            refuse_unlisted(cls, args)
            return cls(**{**given, **args})
        except ValueError as error:
            raise UserError(f"{self.kind} {spec['type']}: {error}") from error

    def split(self, spec: dict) -> list[dict]:
        """Share out a section's `args`: those of the class, then those of each of `within`."""
        own = {k: v for k, v in spec["args"].items() if k in parameters(self[spec["type"]])}
        shares = [own]
        for part, passed in self.within.items():
            keys = parameters(part).keys() - set(passed) - own.keys()
            shares.append({k: v for k, v in spec["args"].items() if k in keys})
        return shares

    def schema(self) -> dict:
        """JSON schema of a section: the type's name decides what its args may be."""
        properties: dict[str, Any] = {"type": {"enum": self.names()}}
        required = [] if self.default else ["type"]
        if self.beside:
            properties |= signature_schema(self.beside)["properties"]
        if self.flat:
            return {
                "type": "object",
                "properties": properties,
                "required": required,
                "allOf": [self._when(name, self._arguments(name)) for name in self.names()],
            }
        properties["args"] = {"type": "object"}
        if not self._classes:
            return {"type": "object", "properties": properties, "required": required}
        return {
            "type": "object",
            "required": required,
            "additionalProperties": False,
            "properties": properties,
            "allOf": [
                self._when(
                    name,
                    {
                        "properties": {"args": (args := self._arguments(name))},
                        "required": ["args"] if args["required"] else [],
                    },
                )
                for name in self.names()
            ],
        }

    def _when(self, name: str, then: dict) -> dict:
        if self.flat:
            then = {**then, "properties": {"type": {}, **then["properties"]}}
        named = {"properties": {"type": {"const": name}}}
        return {
            "if": named if name == self.default else {**named, "required": ["type"]},
            "then": then,
        }

    def _arguments(self, name: str) -> dict:
        target, preset = self._aliases.get(name, (name, {}))
        schema = signature_schema(self._classes[target], self.supplied)
        for key, value in preset.items():
            schema["properties"][key]["default"] = value
        for part, passed in self.within.items():
            extra = signature_schema(part, passed)
            schema["properties"] = extra["properties"] | schema["properties"]
            schema["required"] += extra["required"]
        schema["required"] = [key for key in schema["required"] if key not in preset]
        summary = summary_of(self._classes[target])
        return {"description": summary, **schema} if summary else schema


def parameters(call: Callable) -> dict[str, inspect.Parameter]:
    """The named parameters of a class's constructor or of a function."""
    found = inspect.signature(call).parameters
    return {name: p for name, p in found.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def hints_of(call: Callable) -> dict[str, Any]:
    """The type hints of a class's constructor or of a function, as far as they can be read."""
    # a dataclass's inherited fields are spelled in the words of the module that declares them
    written = call.__init__ if inspect.isclass(call) and not is_dataclass(call) else call
    try:
        return get_type_hints(written, include_extras=True)
    except NameError:  # torch names some types that it imports for type checkers only
        words = written.__annotations__.items()
        known = {key: word for key, word in words if str(word).startswith("Literal[")}
        alone = SimpleNamespace(__annotations__=known)
        return get_type_hints(alone, written.__globals__, include_extras=True)


def refuse_unlisted(call: Callable, args: dict[str, Any]) -> None:
    """Refuse a value that is none of those a `Literal` of the signature lists.

    Raises:
        ValueError: Naming the argument, the value and what is close to it.
    """
    hints = hints_of(call)
    for name, value in args.items():
        hint = hints.get(name)
        members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        listed = [v for m in members if get_origin(m) is Literal for v in get_args(m)]
        open_to_text = any(m is str or get_args(m)[:1] == (str,) for m in members)
        one_word = isinstance(value, str) and not open_to_text
        if listed and value not in listed and (one_word or len(members) == 1):
            raise ValueError(f"{name} is {value!r}; {suggest(str(value), map(str, listed))}")


def signature_schema(call: Callable, hidden: Iterable[str] = ()) -> dict:
    """JSON schema of the keyword arguments of `call`, described by its docstring."""
    hints = hints_of(call)
    texts = argument_texts(call)
    properties, required = {}, []
    for name, parameter in parameters(call).items():
        if name in hidden:
            continue
        properties[name] = dict(schema_of(hints.get(name)))
        if name in texts:
            properties[name]["description"] = texts[name]
        if parameter.default is parameter.empty:
            required.append(name)
        elif isinstance(parameter.default, bool | int | float | str | list | tuple | NoneType):
            default = parameter.default
            properties[name]["default"] = list(default) if isinstance(default, tuple) else default
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": required,
    }


def schema_of(hint: Any) -> dict:
    """JSON schema of a type hint; `{}`, which accepts anything, where JSON has no such type."""
    origin, args = get_origin(hint), get_args(hint)
    if hint in JSON_TYPES:
        return {"type": JSON_TYPES[hint]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (Union, UnionType):
        spelled = [schema for schema in map(schema_of, args) if schema]
        return spelled[0] if len(spelled) == 1 else {"anyOf": spelled}
    if origin is Annotated and isinstance(args[1], re.Pattern):
        return {"type": "string", "pattern": args[1].pattern}
    if origin is Annotated and isinstance(args[1], range):
        return {"type": "integer", "minimum": args[1].start}
    if origin is Annotated:  # [dict, "model"] is a section that the registry "model" builds
        return {"$ref": f"#/$defs/{args[1]}"}
    if origin is list or (origin is tuple and args[-1] is Ellipsis):
        return {"type": "array", "items": schema_of(args[0])}
    if origin is tuple:
        return {
            "type": "array",
            "prefixItems": [schema_of(arg) for arg in args],
            "minItems": len(args),
            "maxItems": len(args),
        }
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(args[1])}
    return {}


def summary_of(call: Callable) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(call) or "").split("\n\n")[0].split())


def argument_texts(call: Callable) -> dict[str, str]:
    """What the `Args:` sections of a docstring, inherited ones too, say of each argument."""
    texts: dict[str, str] = {}
    for part in reversed(inspect.getmro(call)) if inspect.isclass(call) else (call,):
        doc = inspect.cleandoc(part.__doc__ or "")
        block = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", doc, re.MULTILINE)
        entries = re.findall(
            r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", block[1] if block else "", re.MULTILINE
        )
        texts |= {name: " ".join(text.split()) for name, text in entries}
    return texts


def suggest(name: str, known: Iterable[str]) -> str:
    """Close this sentence: 'unknown X; ...' with near matches, or with all that is known."""
    known = sorted(known, key=lambda key: (len(key) if key.isdigit() else 0, key))
    lower = {key.lower(): key for key in known}
    close = [lower[match] for match in difflib.get_close_matches(name.lower(), lower, n=3)]
    if close:
        return "did you mean " + " or ".join(map(repr, close)) + "?"
    return "known are " + ", ".join(known) if known else "there are none yet"
