"""Names to classes, signatures to schemas."""

from __future__ import annotations

import inspect
from typing import Annotated, Literal

import pytest

import train  # noqa: F401 - registers everything
from utils.errors import UserError
from utils.registry import (
    REGISTRIES,
    Registry,
    argument_texts,
    schema_of,
    signature_schema,
    suggest,
)


@pytest.fixture
def registry():
    yield Registry("toy", supplied=("given",))
    del REGISTRIES["toy"]


class Toy:
    """A toy.

    Args:
        given: From the program.
        size: Side,
            in pixels.
    """

    def __init__(self, given: int, size: int = 3):
        if size < 1:
            raise ValueError(f"size is {size}; at least 1")
        self.given, self.size = given, size


def test_build_is_a_call(registry):
    registry.register(Toy)
    toy = registry.build({"type": "Toy", "args": {"size": 5}}, given=7, not_wanted=1)
    assert (toy.given, toy.size) == (7, 5)
    assert registry.build("Toy", given=7).size == 3


def test_a_taken_name_raises(registry):
    registry.register(Toy)
    with pytest.raises(ValueError, match="two toys are called 'Toy'"):
        registry.register(Toy)
    with pytest.raises(ValueError, match="two toys are called 'Toy'"):
        registry.alias("Toy", "Toy")


def test_alias_presets_can_be_overridden_and_are_not_listed(registry):
    registry.register(Toy)
    registry.alias("BigToy", "Toy", size=9)
    assert registry.build("BigToy", given=0).size == 9
    assert registry.build({"type": "BigToy", "args": {"size": 2}}, given=0).size == 2
    assert list(registry) == ["Toy"] and "BigToy" in registry
    assert registry.resolve("BigToy") == {"type": "Toy", "args": {"size": 9}}


@pytest.mark.parametrize(
    "spec, message",
    [
        ("Tov", "unknown toy 'Tov'; did you mean 'Toy'?"),
        ({"type": "Toy", "args": {"sice": 1}}, "unknown argument 'sice'; did you mean 'size'?"),
        ({"type": "Toy", "args": {"size": 0}}, "toy Toy: size is 0; at least 1"),
    ],
)
def test_what_is_wrong_is_a_users_error(registry, spec, message):
    registry.register(Toy)
    with pytest.raises(UserError) as error:
        registry.build(spec, given=1)
    assert message in str(error.value)


def test_docstrings_become_descriptions():
    assert argument_texts(Toy) == {"given": "From the program.", "size": "Side, in pixels."}
    assert signature_schema(Toy, ["given"])["properties"] == {
        "size": {"type": "integer", "description": "Side, in pixels.", "default": 3}
    }


@pytest.mark.parametrize(
    "hint, schema",
    [
        (int, {"type": "integer"}),
        (float | None, {"anyOf": [{"type": "number"}, {"type": "null"}]}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Annotated[dict, "model"], {"$ref": "#/$defs/model"}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    ],
)
def test_hints_become_schemas(hint, schema):
    assert schema_of(hint) == schema


def test_near_names_ignore_case():
    assert suggest("unet", ["UNet", "ENet"]) == "did you mean 'UNet' or 'ENet'?"
    assert suggest("zzz", ["b", "a"]) == "known are a, b"


OURS = [
    (kind, name)
    for kind, registry in REGISTRIES.items()
    for name in registry
    if not registry[name].__module__.startswith("torch.")
]


@pytest.mark.parametrize("kind, name", OURS, ids=lambda part: part)
def test_constructors_of_ours_say_everything(kind, name):
    """No *args or **kwargs; every parameter has a hint that JSON can spell, and a sentence."""
    registry = REGISTRIES[kind]
    cls = registry[name]
    kinds = {p.kind for p in inspect.signature(cls).parameters.values()}
    assert not kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    assert cls.__doc__
    for key, schema in signature_schema(cls, registry.supplied)["properties"].items():
        assert set(schema) & {"type", "anyOf", "enum", "$ref"}, f"{name}.{key} has no usable hint"
        assert "description" in schema, f"{name}.{key} is not explained"
