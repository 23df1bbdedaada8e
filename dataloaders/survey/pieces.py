"""A hint where label maps that should hold an id for each object seem to hold classes or masks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from base.base_dataset import BaseDataset
from utils.sample import Entry

LOOKED_AT = 8  # images, and ids of each
WHITE = ({255}, {0xFFFFFF})  # in grey, and in colour as `label_codes` numbers it
USUAL = 3.0  # leaves, nuclei and cars that something hides in part lie in one or two pieces
WANTED = (
    "every object needs an id of its own (cv2.connectedComponents numbers pieces that do not touch)"
)


def hint_at_classes(dataset: BaseDataset, entries: Sequence[Entry]) -> str | None:
    """A sentence if the ids of a few images are 255 alone, or lie in many separate pieces each.

    Args:
        dataset: Reads them.
        entries: One or more that can be read, with labels.
    """
    step = -(-len(entries) // LOOKED_AT)
    maps = [dataset.read(entry).maps["instance"] for entry in entries[::step]]
    if {value for ids in maps for value in np.unique(ids[ids > 0]).tolist()} in WHITE:
        return f"the labels are masks, white where an object is; {WANTED}"
    counts = [count for ids in maps for count in pieces(ids)]
    if not counts or np.mean(counts) < USUAL:
        return None
    return (
        f"an id lies in {np.mean(counts):.0f} separate pieces on average, as the ids of classes "
        f"do; {WANTED}"
    )


def pieces(ids: np.ndarray) -> list[int]:
    """In how many connected pieces each of the first objects of an (H, W) map lies."""
    objects = np.unique(ids[ids > 0])[:LOOKED_AT]
    return [cv2.connectedComponents((ids == i).astype(np.uint8))[0] - 1 for i in objects]
