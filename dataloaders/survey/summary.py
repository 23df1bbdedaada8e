"""The numbers of a data set, from a look at each of its samples, as plain values."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from base.base_dataset import BaseDataset
from dataloaders.survey.look import Look, class_pixels
from utils.losses.class_weights import weights_by_scheme

PERCENTILES = (0, 5, 50, 95, 100)


def summary(dataset: BaseDataset, looks: list[Look]) -> dict[str, Any]:
    """Counts and sizes of images; of its targets the classes, the objects, or both."""
    sizes = Counter("{1}x{0}".format(*look.size) for look in looks if look.problem is None)
    found: dict[str, Any] = {
        "data_set": type(dataset).__name__,
        "split": dataset.split,
        "data_dir": dataset.data_dir,
        "images": len(looks),
        "sizes": dict(sizes.most_common()),
    }
    if "semantic" in dataset.targets:
        pixels = sum(n for look in looks for n in look.values.values())
        ignored = sum(look.values.get(dataset.ignore_index, 0) for look in looks)
        found["ignored"] = ignored / max(pixels, 1)
        found["classes"] = classes(dataset, looks)
        counts = class_pixels(looks, len(dataset.classes))
        found["class_weights"] = weights_by_scheme(len(counts), counts)
    if "instance" in dataset.targets:
        found["objects"] = objects(looks)
    return found


def classes(dataset: BaseDataset, looks: list[Look]) -> list[dict[str, Any]]:
    """For each class its pixels, their share of all that is not ignored, and its images."""
    pixels = class_pixels(looks, len(dataset.classes))
    total = max(sum(pixels), 1)
    return [
        {
            "class": name,
            "pixels": count,
            "share": count / total,
            "images": sum(number in look.values for look in looks),
        }
        for number, (name, count) in enumerate(zip(dataset.classes, pixels, strict=True))
    ]


def objects(looks: list[Look]) -> dict[str, Any]:
    """How many objects an image holds, and their areas in pixels, by percentile."""
    counts = [len(look.areas) for look in looks if not look.problem]
    areas = [area for look in looks for area in look.areas]
    return {
        "count": len(areas),
        "images_without": counts.count(0),
        "per_image": percentiles(counts),
        "area": percentiles(areas),
    }


def percentiles(values: list[int]) -> dict[str, float]:
    """By name; {} of nothing."""
    if not values:
        return {}
    found = np.percentile(values, PERCENTILES).round(1).tolist()
    names = ["least", *(f"{p} %" for p in PERCENTILES[1:-1]), "most"]
    return dict(zip(names, found, strict=True))
