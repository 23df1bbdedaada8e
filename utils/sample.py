"""One image with its label maps, on the way from disk to batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.normalization import Normalization


class Entry(NamedTuple):
    """Where one sample lies: a name unique in its data set, its files, and a line of its own.

    Attributes:
        name: Unique in its data set.
        image: Image file.
        label: Label file, of class ids where there are two.
        instance: File of instance ids, beside a label file.
        meta: Text that its data set understands, such as a line of annotations.
    """

    name: str
    image: Path | None = None
    label: Path | None = None
    instance: Path | None = None
    meta: str | None = None


@dataclass
class Sample:
    """What transforms change.

    Attributes:
        name: Name of the sample.
        image: (H, W, C) uint8 or uint16.
        maps: Label maps by name ("semantic", "instance"), each (H, W) of whole numbers.
        border: Value that fills what lies outside the image: `"image"` a colour of C numbers, and
            for each map its ignored label.
        meta: What a metric may need, and the original size.
        image2: A second view of the same geometry, where SecondView makes one.
        normalization: That of the image as it was read, so that neither a crop nor what surrounds
            it changes the image's own.
    """

    name: str
    image: np.ndarray
    maps: dict[str, np.ndarray]
    border: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    image2: np.ndarray | None = None
    normalization: Normalization = field(default_factory=Normalization)
