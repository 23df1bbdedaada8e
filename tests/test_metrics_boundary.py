"""Boundary scores against small squares and against distances counted one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from utils.errors import UserError
from utils.metrics import METRICS

IGNORE = 255


def build(classes: int, tolerance: float):
    spec = {"type": "BoundaryF", "args": {"tolerance": tolerance}}
    return METRICS.build(spec, num_classes=classes, ignore_index=IGNORE)


def score(labels: np.ndarray, target: np.ndarray, classes: int, tolerance: float):
    metric = build(classes, tolerance)
    metric.update(torch.from_numpy(labels), torch.from_numpy(target))
    return metric.compute()


def square(top: int, left: int, side: int = 10, size: int = 40) -> np.ndarray:
    labels = np.zeros((1, size, size), np.int64)
    labels[:, top : top + side, left : left + side] = 1
    return labels


def neighbours(row: int, column: int, shape: tuple[int, int]):
    for y, x in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
        if 0 <= y < shape[0] and 0 <= x < shape[1]:
            yield y, x


def points(labels: np.ndarray, target: np.ndarray, label: int) -> list[tuple[int, int]]:
    """Boundary pixels of a class in one image, straight from the definition."""
    found = []
    for place in map(tuple, np.argwhere(labels == label)):
        around = list(neighbours(*place, labels.shape))
        if any(target[p] == IGNORE for p in [place, *around]):
            continue
        if any(labels[p] != label for p in around):
            found.append(place)
    return found


def brute_force(labels: np.ndarray, target: np.ndarray, classes: int, reach: float) -> list[float]:
    values = []
    for label in range(classes):
        images = []
        for found, truth in zip(labels, target, strict=True):
            a, b = points(found, truth, label), points(truth, truth, label)
            if not a and not b:
                continue
            near = [any(math.dist(p, q) <= reach for q in b) for p in a]
            seen = [any(math.dist(p, q) <= reach for q in a) for p in b]
            precision, recall = sum(near) / max(len(a), 1), sum(seen) / max(len(b), 1)
            both = precision + recall
            images.append(2 * precision * recall / both if both else 0.0)
        values.append(np.mean(images) if images else math.nan)
    return values


@pytest.mark.parametrize("shift", [0, 1, 2, 3])
@pytest.mark.parametrize("tolerance", [0.0, 1.0, 2.0])
def test_a_shifted_square(shift, tolerance):
    """Ten by ten: 36 boundary pixels. Moved k to the right, k from 1 to 8, the top and bottom rows
    still share 10 - k pixels each and the sides none; with reach k all 36 are matched."""
    scores = score(square(10, 10 + shift), square(10, 10), 2, tolerance)
    if shift <= tolerance:
        assert scores["BoundaryF/1"] == 1 and scores["Mean_BoundaryF"] == 1
    elif tolerance == 0:
        assert scores["BoundaryF/1"] == pytest.approx((20 - 2 * shift) / 36)
    else:
        assert 0 < scores["BoundaryF/1"] < 1


def test_precision_and_recall_by_hand():
    """A bar of 1x4 against one of 1x2 at its left end: P = 2/4, R = 2/2, F = 2/3 with no reach;
    reach 1 also matches the third of the four: P = 3/4, F = 6/7."""
    found, truth = np.zeros((2, 1, 9, 9), np.int64)
    found[0, 4, 2:6], truth[0, 4, 2:4] = 1, 1
    assert score(found, truth, 2, 0)["BoundaryF/1"] == pytest.approx(2 / 3)
    assert score(found, truth, 2, 1)["BoundaryF/1"] == pytest.approx(6 / 7)


def test_reach_is_a_disc():
    """A pixel one row and one column away is sqrt(2) away."""
    found, truth = square(10, 10, side=1), square(11, 11, side=1)
    assert score(found, truth, 2, 1.4)["BoundaryF/1"] == 0
    assert score(found, truth, 2, 1.5)["BoundaryF/1"] == 1


def test_a_share_of_the_diagonal_is_rounded_up():
    """The diagonal of 30x40 is 50 pixels: 0.021 of it is 1.05, so 2 pixels."""
    found, truth = square(10, 10, size=40)[:, :30], square(12, 10, size=40)[:, :30]
    assert score(found, truth, 2, 0.021) == score(found, truth, 2, 2) != score(found, truth, 2, 1)
    assert score(found, truth, 2, 0.021)["Mean_BoundaryF"] == 1


@pytest.mark.parametrize("classes, absent", [(2, 0), (19, 4), (182, 30)])
@pytest.mark.parametrize("reach", [0.0, 1.0, 2.3])
def test_equals_brute_force(classes, absent, reach):
    rng = np.random.default_rng(classes)
    coarse = rng.integers(0, classes - absent, (2, 2, 5, 6))
    labels, target = coarse.repeat(4, axis=2).repeat(4, axis=3)
    labels = np.where(rng.random(labels.shape) < 0.5, target, labels)
    labels = np.roll(labels, 1, axis=2)
    target[rng.random(target.shape) < 0.02] = IGNORE
    scores = score(labels, target, classes, reach)
    expected = brute_force(labels, target, classes, reach)
    got = [scores[f"BoundaryF/{label}"] for label in range(classes)]
    assert got == pytest.approx(expected, nan_ok=True)
    assert scores["Mean_BoundaryF"] == pytest.approx(np.nanmean(expected))
    assert all(type(value) is float for value in scores.values())


def test_images_are_averaged():
    """One image right, one without the class found, one without the class: 1/2."""
    truth = np.concatenate([square(10, 10), square(3, 3), np.zeros((1, 40, 40), np.int64)])
    found = np.concatenate([square(10, 10), np.zeros((2, 40, 40), np.int64)])
    assert score(found, truth, 3, 1)["BoundaryF/1"] == pytest.approx(1 / 2)
    assert math.isnan(score(found, truth, 3, 1)["BoundaryF/2"])


def test_void_hides_the_boundary_beside_it():
    truth = square(10, 10)
    truth[:, 9:21, 9:21][truth[:, 9:21, 9:21] == 0] = IGNORE
    found = square(14, 14, side=2)
    assert math.isnan(score(truth % IGNORE, truth, 2, 1)["Mean_BoundaryF"])
    assert score(found, truth, 2, 1)["BoundaryF/1"] == 0


def test_the_image_border_is_no_boundary():
    labels = np.ones((1, 6, 6), np.int64)
    assert math.isnan(score(labels, labels, 2, 1)["Mean_BoundaryF"])


def test_a_negative_tolerance_is_refused():
    with pytest.raises(UserError, match="tolerance is -1; it must not be negative"):
        build(2, -1)
