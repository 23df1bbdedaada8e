"""The config's `init_from`: start a model from weights that need not fit it whole."""

from __future__ import annotations

import logging
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from base.base_loss import LOSSES
from base.base_model import BaseModel
from models import rebuild
from models.blocks.heads import by_name
from models.encoders.weights import spread
from utils import checkpoint
from utils.errors import UserError

log = logging.getLogger("segforge")


@dataclass
class Report:
    """What became of every tensor: its name, and in brackets why.

    The model's are loaded, adapted or missing; the file's are loaded, adapted or skipped.

    Attributes:
        loaded: Taken as they are.
        adapted: Taken for other classes or image channels.
        skipped: In the file and not used.
        missing: In the model and left as built.
    """

    loaded: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Counts and first names, in at most 80 columns."""
        total = len(self.loaded) + len(self.adapted) + len(self.missing)
        parts = [f"loaded {len(self.loaded)} of {total} tensors"]
        for what, names in (
            ("adapted", self.adapted),
            ("skipped, in the file and not used,", self.skipped),
            ("missing, left as built,", self.missing),
        ):
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                parts.append(f"{what} {len(names)}: {', '.join(names[:3])}{more}")
        return [
            line
            for part in parts
            for line in textwrap.wrap(
                part,
                width=80,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        ]


def start_from(model: BaseModel, path: Path | str, identity: dict[str, Any]) -> Report:
    """Fill a model, in place, with the weights of a file that fit it, and log what did not.

    A first convolution is adapted to the image's channels. If the file names its classes and they
    are not the model's, the head's rows go by class name, and those of new classes stay as built.
    Whatever else has another size is left alone. Weights of a plain network go to both networks of
    a MeanTeacher; of a MeanTeacher's file a plain network takes the student's.

    Args:
        model: As built.
        path: A checkpoint of ours, whose moving average is taken where there is one, or a state
            dict, bare or nested, with or without the prefix "module.".
        identity: The model's "arch", "out_channels", "classes" and "config", as in a checkpoint.

    Raises:
        UserError: If the file cannot be read or nothing in it fits; the model is as it was.
    """
    state = checkpoint.load(path)
    here, there = list(identity["classes"]), state.get("classes")
    old, own = checkpoint.tensors(state), model.state_dict()
    renamed = isinstance(there, list) and there != here
    heads = class_axes(own, identity, state.get("config")) if renamed else {}
    first, source = first_convolution(model), sources(own, old)
    report, taken = Report(), {}
    for name, value in own.items():
        if name not in source:
            report.missing.append(name)
            continue
        given = old[source[name]]
        if name in heads:
            fitted, how = by_class(value, given, heads[name], here, there)
        else:
            fitted, how = by_size(value, given, alone(name) == alone(first))
        label = f"{name} ({how})" if how else name
        if fitted is None:
            report.skipped.append(label)
            report.missing.append(name)
        else:
            (report.adapted if how else report.loaded).append(label)
            taken[name] = fitted
    used = set(source.values())
    report.skipped += [name for name in old if name not in used]
    if not any(value.is_floating_point() for value in taken.values()):
        raise UserError(
            f"nothing in {path} fits the model {type(model).__name__}: {sample(old)} there, "
            f"{sample(own)} here; weights of a bare backbone go into arch.args.pretrained, those "
            "of another project through tools/import_weights.py first"
        )
    model.load_state_dict(own | taken)
    log.info("\n".join([f"weights from {path}:", *report.lines()]))
    return report


STUDENT, TEACHER = "student.", "teacher."  # in front of a MeanTeacher's names


def alone(name: str) -> str:
    """A tensor's name in the network that a MeanTeacher holds twice; of another its own."""
    return name.removeprefix(STUDENT).removeprefix(TEACHER)


def sources(own: dict[str, Tensor], old: dict[str, Tensor]) -> dict[str, str]:
    """The file's name for each of the model's tensors that it holds."""

    def paired(names: dict[str, Tensor]) -> bool:
        return all(any(name.startswith(part) for name in names) for part in (STUDENT, TEACHER))

    into_pair = paired(own) and not paired(old)
    out_of_pair = paired(old) and not paired(own)
    found = {}
    for name in own:
        there = alone(name) if into_pair else STUDENT + name if out_of_pair else name
        if there in old:
            found[name] = there
    return found


def holds_classes(config: dict | None, output: str) -> bool:
    """Whether a run's losses read classes from an output; so it is taken where nothing tells."""
    if not config:
        return True
    losses = config["loss"] if isinstance(config["loss"], list) else [config["loss"]]
    sections = [LOSSES.resolve(section) for section in losses]
    return any(
        section["type"] not in LOSSES or LOSSES[section["type"]].target == "semantic"
        for section in sections
        if section.get("output", "out") == output
    )


def class_axes(
    own: dict[str, Tensor], identity: dict[str, Any], config: dict | None
) -> dict[str, dict[int, int]]:
    """Axes that follow the class count, with their entries a class, of every tensor with any.

    Seen on a second model, built for one class more.

    Args:
        own: The model's tensors.
        identity: The model's.
        config: That of the file's run, where it has one.
    """
    count, channels = len(identity["classes"]), identity["out_channels"]
    scores = next(
        (
            name
            for name, n in by_name(channels).items()
            if n == count
            and holds_classes(identity.get("config"), name)
            and holds_classes(config, name)
        ),
        None,
    )
    if scores is None:
        return {}
    channels = {**channels, scores: count + 1} if isinstance(channels, dict) else count + 1
    with torch.random.fork_rng(devices=[]):
        more = rebuild({**identity, "out_channels": channels}).state_dict()
    axes = {
        name: {
            axis: after - before
            for axis, (before, after) in enumerate(zip(value.shape, more[name].shape, strict=True))
            if after != before
        }
        for name, value in own.items()
    }
    return {name: found for name, found in axes.items() if found}


def by_class(
    own: Tensor, old: Tensor, axes: dict[int, int], here: list[str], there: list[str]
) -> tuple[Tensor | None, str]:
    """`own` with the entries of classes that both sides name taken from `old`; None for none."""
    fits = differ_only(own, old, list(axes)) and all(
        value.shape[axis] == each * len(names)
        for value, names in ((own, here), (old, there))
        for axis, each in axes.items()
    )
    if not fits:
        return None, f"{size(old)} for {len(there)} classes, here {size(own)} for {len(here)}"
    common = [name for name in here if name in there]
    if not common:
        return None, "no class in common"
    to = [torch.arange(length) for length in own.shape]
    source = list(to)
    for axis, each in axes.items():
        entries = torch.arange(each)
        to[axis] = torch.cat([here.index(name) * each + entries for name in common])
        source[axis] = torch.cat([there.index(name) * each + entries for name in common])
    fitted = own.clone()
    fitted[torch.meshgrid(*to, indexing="ij")] = old[torch.meshgrid(*source, indexing="ij")].to(own)
    return fitted, f"{len(common)} of {len(here)} classes by name"


def by_size(own: Tensor, old: Tensor, is_first: bool) -> tuple[Tensor | None, str]:
    """`old` where it has the size of `own`, or its channels spread; None where it has another."""
    if old.shape == own.shape:
        return old, ""
    if is_first and differ_only(own, old, [1]):
        return spread(old, own.shape[1]), f"{old.shape[1]} to {own.shape[1]} channels"
    return None, f"{size(old)}, here {size(own)}"


def first_convolution(model: BaseModel) -> str:
    """Name of the weight that reads the image."""
    convs = (name for name, part in model.named_modules() if isinstance(part, nn.Conv2d))
    return f"{next(convs, '')}.weight"


def differ_only(one: Tensor, other: Tensor, axes: list[int]) -> bool:
    """Whether two sizes are equal but in some axes."""
    return one.ndim == other.ndim and all(
        a == b
        for axis, (a, b) in enumerate(zip(one.shape, other.shape, strict=True))
        if axis not in axes
    )


def size(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "one number"


def sample(state: dict[str, Tensor]) -> str:
    return f"{len(state)} tensors such as {next(iter(state))}" if state else "no tensors"
