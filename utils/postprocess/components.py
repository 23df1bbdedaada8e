"""Steps on connected components: what is too small goes, what is hollow is filled.

Pixels of a class are connected with all eight around them; those of a hole with the four that
share a side, so that a hole does not leak through a corner.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from utils.postprocess.postprocessor import POSTPROCESSORS, MapStep, class_id, class_ids
from utils.registry import Positive

CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@POSTPROCESSORS.register
class RemoveSmall(MapStep):
    """Remove connected components of fewer than `min_size` pixels.

    `DropClusters`, as the Cityscapes and KITTI project calls it, is a name for this. There the
    number is squared before it is compared: its 70 is a `min_size` of 4900 here.

    Args:
        min_size: Smallest area that stays, in pixels.
        classes: Names or ids of the classes it looks at; all if left out.
        to: What removed pixels become: "surrounding" is the class that touches their region with
            most pixels, anything else the name or id of a class.
        class_names: Of the data set, none of objects; the program passes them.
    Raises:
        ValueError: If there is no such class.
    """

    def __init__(
        self,
        min_size: Positive,
        classes: list[str | int] | None = None,
        to: str | int = "surrounding",
        class_names: Sequence[str] = (),
    ):
        self.min_size, self.classes = min_size, class_ids(classes, class_names)
        self.to = None if to == "surrounding" else class_id("to", to, class_names)

    def edit(self, labels: np.ndarray) -> np.ndarray:
        removed = np.zeros(labels.shape, bool)
        for label in np.unique(labels) if self.classes is None else self.classes:
            places, areas = components(labels == label)
            removed |= (areas < self.min_size)[places]
        return replaced(labels, removed, self.to)


POSTPROCESSORS.alias("DropClusters", "RemoveSmall")


@POSTPROCESSORS.register
class KeepLargest(MapStep):
    """Keep only the largest connected component of a class; of equal ones the first from the top.

    Args:
        classes: Names or ids of the classes it looks at; all but 0 if left out.
        to: What the other components become, as in RemoveSmall.
        class_names: Of the data set, none of objects; the program passes them.
    Raises:
        ValueError: If there is no such class.
    """

    def __init__(
        self,
        classes: list[str | int] | None = None,
        to: str | int = "surrounding",
        class_names: Sequence[str] = (),
    ):
        self.classes = class_ids(classes, class_names)
        self.to = None if to == "surrounding" else class_id("to", to, class_names)

    def edit(self, labels: np.ndarray) -> np.ndarray:
        removed = np.zeros(labels.shape, bool)
        for label in objects(labels) if self.classes is None else self.classes:
            places, areas = components(labels == label)
            others = np.ones(len(areas), bool)
            others[0] = False
            others[1 + np.argmax(areas[1:]) if len(areas) > 1 else 0] = False
            removed |= others[places]
        return replaced(labels, removed, self.to)


@POSTPROCESSORS.register
class FillHoles(MapStep):
    """Give a class the holes in it that have fewer than `max_size` pixels, whatever is in them.

    A hole is a region of other classes that the class encloses; one that reaches the image's
    border is none. Classes are filled one after the other in the order given, or of their ids.

    Args:
        max_size: Area in pixels from which on a hole stays.
        classes: Names or ids of the classes whose holes are filled; all but 0 if left out.
        class_names: Of the data set, none of objects; the program passes them.
    Raises:
        ValueError: If there is no such class.
    """

    def __init__(
        self,
        max_size: Positive,
        classes: list[str | int] | None = None,
        class_names: Sequence[str] = (),
    ):
        self.max_size, self.classes = max_size, class_ids(classes, class_names)

    def edit(self, labels: np.ndarray) -> np.ndarray:
        filled = labels.copy()
        height, width = labels.shape
        for label in objects(labels) if self.classes is None else self.classes:
            mask = (filled != label).astype(np.uint8)
            _, places, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
            left, top, wide, high, area = stats.T
            inside = (left > 0) & (top > 0) & (left + wide < width) & (top + high < height)
            holes = inside & (area < self.max_size)
            holes[0] = False
            filled[holes[places]] = label
        return filled


def components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (H, W) of a mask's components from 1, and the area of each; that of 0 is infinite."""
    _, places, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].astype(float)
    areas[0] = np.inf
    return places, areas


def objects(labels: np.ndarray) -> np.ndarray:
    """The labels that occur, without 0."""
    found = np.unique(labels)
    return found[found != 0]


def replaced(labels: np.ndarray, removed: np.ndarray, to: int | None) -> np.ndarray:
    """The label map with removed pixels (H, W) bool set to a label, or to what surrounds them.

    Each region of removed pixels becomes the label that most pixels have which share a side with
    it, of equal ones the lowest. Where nothing is left to surround it, it stays.
    """
    result = labels.copy()
    if to is not None:
        result[removed] = to
        return result
    _, regions, stats, _ = cv2.connectedComponentsWithStats(removed.astype(np.uint8))
    for number, (left, top, wide, high, _) in enumerate(stats[1:], start=1):
        box = (
            slice(max(top - 1, 0), top + high + 1),
            slice(max(left - 1, 0), left + wide + 1),
        )
        region = (regions[box] == number).astype(np.uint8)
        ring = (cv2.dilate(region, CROSS) > region) & ~removed[box]
        around, counts = np.unique(labels[box][ring], return_counts=True)
        if len(around):
            result[box][region > 0] = around[counts.argmax()]
    return result
