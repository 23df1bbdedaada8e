"""The config's `init_from`: start a model from weights that need not fit it whole."""

from __future__ import annotations

import logging
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from base.base_model import BaseModel
from models.class_rows import ClassRows, class_rows, differ_only, size
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

    A first convolution is adapted to the image's channels. If the file names its classes, the
    head's rows go by class name, whatever the output that holds them is called, and those of new
    classes stay as built. Whatever else has another size is left alone. Weights of a plain network
    go to both networks of a MeanTeacher; of a MeanTeacher's file a plain network takes the
    student's.

    Args:
        model: As built.
        path: A checkpoint of ours, whose moving average is taken where there is one, or a state
            dict, bare or nested, with or without the prefixes of wrappers such as "module.".
        identity: The model's "arch", "out_channels", "classes" and "config", as in a checkpoint.

    Raises:
        UserError: If the file cannot be read, nothing in it fits, or what fits is not finite; the
            model is as it was.
    """
    state = checkpoint.load(path)
    old, own = checkpoint.tensors(state), model.state_dict()
    rows = class_rows(own, identity, state)
    first, source = first_convolution(model), sources(own, old, rows)
    report, taken = Report(), {}
    for name, value in own.items():
        if name not in source:
            report.missing.append(name)
            continue
        given = old[source[name]]
        if rows and name in rows.axes:
            fitted, how = rows.take(name, value, given)
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
    spoilt = [name for name, value in taken.items() if not value.isfinite().all()]
    if spoilt:
        raise UserError(
            f"{path} holds values that are no finite numbers, in {len(spoilt)} tensors such as "
            f"{spoilt[0]}: its training has diverged; take an earlier checkpoint"
        )
    model.load_state_dict(own | taken)
    log.info("\n".join([f"weights from {path}:", *report.lines()]))
    return report


STUDENT, TEACHER = "student.", "teacher."  # in front of a MeanTeacher's names


def alone(name: str) -> str:
    """A tensor's name in the network that a MeanTeacher holds twice; of another its own."""
    return name.removeprefix(STUDENT).removeprefix(TEACHER)


def sources(
    own: dict[str, Tensor], old: dict[str, Tensor], rows: ClassRows | None
) -> dict[str, str]:
    """The file's name for each of the model's tensors that it holds."""

    def paired(names: dict[str, Tensor]) -> bool:
        return all(any(name.startswith(part) for name in names) for part in (STUDENT, TEACHER))

    into_pair = paired(own) and not paired(old)
    out_of_pair = paired(old) and not paired(own)
    found = {}
    for name in own:
        there = rows.source(name) if rows else name
        there = alone(there) if into_pair else STUDENT + there if out_of_pair else there
        if there in old:
            found[name] = there
    return found


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


def sample(state: dict[str, Tensor]) -> str:
    return f"{len(state)} tensors such as {next(iter(state))}" if state else "no tensors"
