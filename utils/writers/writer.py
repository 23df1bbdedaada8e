"""What one kind of result is: where its file goes, and how it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np
from torch import Tensor

from utils.errors import UserError


@dataclass(frozen=True)
class Task:
    """What a model was trained for.

    Attributes:
        classes: Class names by id.
        palette: RGB of each label.
        target: "semantic" where labels are class ids, "instance" where they are object ids.
        scores: Names of the outputs that hold class scores.
        embedding: Name of the first output that was trained for objects, where there is one.
        told: What the embedding's loss tells a labeler, such as delta_var.
    """

    classes: list[str]
    palette: list[list[int]]
    target: str
    scores: tuple[str, ...]
    embedding: str | None = None
    told: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What is known of one image.

    Attributes:
        task: What the model was trained for.
        image: As it was read, (H, W, C) uint8 or uint16.
        labels: (H, W), of any integer type.
        outputs: The model's maps, each (C, H, W) on the CPU; empty where no writer asks for them.
    """

    task: Task
    image: np.ndarray
    labels: np.ndarray
    outputs: dict[str, Tensor]


def any_task(task: Task) -> None:
    """Every model has this."""


@dataclass(frozen=True)
class Writer:
    """One kind of file that is written for an image.

    Attributes:
        about: What is in it.
        place: From the image's name to the file, below the output folder.
        begin: Called once a folder, gives what writes each file; that raises UserError where it
            cannot. Its argument is the folder, and whether files in it are gone on with.
        outputs: It reads the model's maps.
        in_order: What a file holds depends on those before it.
        check: Raises UserError where a model of this task has no such result.
    """

    about: str
    place: Callable[[PurePath], PurePath]
    begin: Callable[[Path, bool], Callable[[Path, Result], None]]
    outputs: bool = False
    in_order: bool = False
    check: Callable[[Task], None] = any_task


def always(write: Callable[[Path, Result], None]) -> Callable[[Path, bool], Callable]:
    """The same function for every folder, for kinds that remember nothing."""
    return lambda folder, go_on: write


def ending(text: str) -> Callable[[PurePath], PurePath]:
    """Beside the others, with this ending."""
    return lambda name: name.with_name(name.name + text)


def inside(folder: str) -> Callable[[PurePath], PurePath]:
    """A PNG under the image's own name, as servers want it, in a folder of its own."""
    return lambda name: PurePath(folder) / name.with_name(name.name + ".png")


def needs_scores(task: Task) -> None:
    """Refuse a model without class scores.

    Raises:
        UserError: If it has none.
    """
    if not task.scores:
        raise UserError(
            "this model gives no class scores: its labeler reads embeddings, or it was exported "
            "with --labels; leave probabilities, confidence and kitti_road out of --save"
        )


def needs_target(target: str) -> Callable[[Task], None]:
    """Refuse a model whose labels are of another kind."""

    def check(task: Task) -> None:
        if task.target != target:
            kinds = {"semantic": "classes", "instance": "objects"}
            raise UserError(
                f"this model labels {kinds[task.target]}, not {kinds[target]}; --save names a "
                f"result of {target} segmentation"
            )

    return check
