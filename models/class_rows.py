"""Which rows of a model belong to which class, so that `init_from` takes them by class name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from base.base_loss import LOSSES
from models import rebuild
from models.blocks.heads import by_name


@dataclass
class Outputs:
    """What the model or a file says of its outputs.

    Attributes:
        classes: Their names.
        channels: Of each output.
        config: Of the run, where there is one.
    """

    classes: list[str]
    channels: dict[str, int]
    config: Any = field(default=None, compare=False)

    def with_classes(self) -> list[str]:
        """Outputs that may have a channel a class."""
        return [
            name
            for name, count in self.channels.items()
            if count == len(self.classes) and holds_classes(self.config, name)
        ]

    def entries(self, output: str) -> list:
        """All channels in order: those of `output` by class name, others by output and number."""
        return [
            entry
            for name, count in self.channels.items()
            for entry in (
                self.classes if name == output else [(name, i, count) for i in range(count)]
            )
        ]


def outputs_of(state: dict[str, Any], here: Outputs) -> Outputs:
    """What a file with class names says; of channels that it does not tell, as the model's."""
    classes, channels = state["classes"], state.get("out_channels")
    if not all(isinstance(count, int) for count in by_name(channels).values()):
        held = here.with_classes()[:1]
        channels = here.channels | dict.fromkeys(held, len(classes))
    return Outputs(classes, by_name(channels), state.get("config"))


def holds_classes(config: Any, output: str) -> bool:
    """Whether a run's losses read classes from an output; so it is taken where nothing tells."""
    try:
        losses = config["loss"] if isinstance(config["loss"], list) else [config["loss"]]
        sections = [LOSSES.resolve(section) for section in losses]
        return any(
            section["type"] not in LOSSES or LOSSES[section["type"]].target == "semantic"
            for section in sections
            if section.get("output", "out") == output
        )
    except (LookupError, TypeError, AttributeError):  # no config, or none of ours
        return True


@dataclass
class ClassRows:
    """Takes the rows of classes, and those of equal outputs beside them, from a file.

    Attributes:
        here: The model's outputs.
        there: The file's.
        output: The model's that holds classes.
        old_output: The file's that does.
        axes: Of each tensor that has any: axes that follow the class count, and their entries a
            class.
    """

    here: Outputs
    there: Outputs
    output: str
    old_output: str
    axes: dict[str, dict[int, int]]

    def source(self, name: str) -> str:
        """The file's name for a tensor: its output may have another."""
        if name not in self.axes:
            return name
        return name.replace(f".{self.output}.", f".{self.old_output}.")

    def take(self, name: str, own: Tensor, old: Tensor) -> tuple[Tensor | None, str]:
        """`own` with the entries that both sides name taken from `old`, and what was; or None."""
        axes = self.axes[name]
        of_one = self.here.classes, self.there.classes
        of_all = self.here.entries(self.output), self.there.entries(self.old_output)
        for here, there in (of_one, of_all):  # a layer of the one output, or one of all outputs
            if follows(own, axes, here) and follows(old, axes, there):
                break
        else:
            return None, (
                f"{size(old)} for {counted(self.there)}, here {size(own)} for {counted(self.here)}"
            )
        if not differ_only(own, old, list(axes)):
            return None, f"{size(old)}, here {size(own)}"
        if here == there:
            return old, ""
        common = [entry for entry in here if entry in there]
        if not common:
            return None, "no class in common"
        to = [torch.arange(length) for length in own.shape]
        source = list(to)
        for axis, each in axes.items():
            entries = torch.arange(each)
            to[axis] = torch.cat([here.index(entry) * each + entries for entry in common])
            source[axis] = torch.cat([there.index(entry) * each + entries for entry in common])
        fitted = own.clone()
        taken = old[torch.meshgrid(*source, indexing="ij")].to(own)
        fitted[torch.meshgrid(*to, indexing="ij")] = taken
        found = sum(entry in self.there.classes for entry in self.here.classes)
        return fitted, f"{found} of {len(self.here.classes)} classes by name"


def class_rows(
    own: dict[str, Tensor], identity: dict[str, Any], state: dict[str, Any]
) -> ClassRows | None:
    """What goes by class name from a file into a model; None where by place is right, or nothing.

    Args:
        own: The model's tensors.
        identity: The model's "arch", "out_channels", "classes" and "config".
        state: The file.
    """
    if not isinstance(state.get("classes"), list):
        return None
    channels = by_name(identity["out_channels"])
    here = Outputs(list(identity["classes"]), channels, identity.get("config"))
    there = outputs_of(state, here)
    ours, theirs = here.with_classes(), there.with_classes()
    if here == there or not ours or not theirs:
        return None
    output = next((name for name in ours if name in theirs), ours[0])
    old_output = output if output in theirs else theirs[0]
    return ClassRows(here, there, output, old_output, class_axes(own, identity, output))


def class_axes(
    own: dict[str, Tensor], identity: dict[str, Any], output: str
) -> dict[str, dict[int, int]]:
    """Axes that follow an output's channels, with their entries a channel, of tensors with any.

    Seen on a second model, built for one more, of sizes alone where its constructor allows it.

    Args:
        own: The model's tensors.
        identity: The model's.
        output: Name of the output.
    """
    channels = identity["out_channels"]
    count = by_name(channels)[output] + 1
    channels = {**channels, output: count} if isinstance(channels, dict) else count
    larger = {**identity, "out_channels": channels}
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            more = rebuild(larger).state_dict()
    except (NotImplementedError, RuntimeError):  # a constructor that reads values of tensors
        with torch.random.fork_rng(devices=[]):
            more = rebuild(larger).state_dict()
    axes = {
        name: {
            axis: after - before
            for axis, (before, after) in enumerate(zip(value.shape, more[name].shape, strict=True))
            if after != before
        }
        for name, value in own.items()
    }
    return {name: found for name, found in axes.items() if found}


def follows(value: Tensor, axes: dict[int, int], entries: list) -> bool:
    """Whether a tensor has that many entries along its axes."""
    return value.ndim > max(axes) and all(
        value.shape[axis] == each * len(entries) for axis, each in axes.items()
    )


def counted(outputs: Outputs) -> str:
    """Channels in words."""
    total = sum(outputs.channels.values())
    more = f" of {total} channels" if total != len(outputs.classes) else ""
    return f"{len(outputs.classes)} classes{more}"


def differ_only(one: Tensor, other: Tensor, axes: list[int]) -> bool:
    """Whether two sizes are equal but in some axes."""
    return one.ndim == other.ndim and all(
        a == b
        for axis, (a, b) in enumerate(zip(one.shape, other.shape, strict=True))
        if axis not in axes
    )


def size(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "one number"
