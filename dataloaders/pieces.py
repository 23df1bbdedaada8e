"""A hint where label maps that should hold an id for each object seem to hold classes."""

from __future__ import annotations

import logging

import cv2
import numpy as np

from base.base_dataset import BaseDataset

log = logging.getLogger("segforge")

LOOKED_AT = 8  # images, and ids of each
USUAL = 3.0  # leaves, nuclei and cars that something hides in part lie in one or two pieces


def hint_at_classes(dataset: BaseDataset) -> None:
    """Warn if the ids of a few images lie in many separate pieces each, as those of classes do."""
    step = -(-len(dataset) // LOOKED_AT)
    maps = [dataset.read(entry).maps["instance"] for entry in dataset.entries[::step]]
    counts = [count for ids in maps for count in pieces(ids)]
    if counts and np.mean(counts) >= USUAL:
        log.warning(
            "%s %s: an id lies in %.0f separate pieces on average, as the ids of classes do; every "
            "object needs an id of its own (cv2.connectedComponents numbers pieces that do not "
            "touch)",
            *(type(dataset).__name__, dataset.split or "", np.mean(counts)),
        )


def pieces(ids: np.ndarray) -> list[int]:
    """In how many connected pieces each of the first objects of an (H, W) map lies."""
    objects = np.unique(ids[ids > 0])[:LOOKED_AT]
    return [cv2.connectedComponents((ids == i).astype(np.uint8))[0] - 1 for i in objects]
