"""Scores against counting by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from utils.errors import UserError
from utils.metrics import METRICS, MetricGroup

IGNORE = 255


def build(name: str, classes: int):
    return METRICS.build(name, num_classes=classes, ignore_index=IGNORE)


def random_maps(classes: int, absent: int = 0, shape=(3, 20, 24)):
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes - absent, shape)
    target = np.where(rng.random(shape) < 0.6, labels, rng.integers(0, classes - absent, shape))
    target[rng.random(shape) < 0.1] = IGNORE
    return labels, target


@pytest.mark.parametrize("classes, absent", [(2, 0), (11, 0), (11, 2), (182, 11)])
def test_iou_equals_counting(classes, absent):
    labels, target = random_maps(classes, absent)
    metric = build("IoU", classes)
    metric.update(torch.from_numpy(labels), torch.from_numpy(target))
    scores = metric.compute()
    valid = target != IGNORE
    expected = []
    for c in range(classes):
        truth, found = (target == c) & valid, (labels == c) & valid
        union = (truth | found).sum()
        expected.append((truth & found).sum() / union if union else math.nan)
        got = scores[f"IoU/{c}"]
        assert got == pytest.approx(expected[-1], nan_ok=True)
    assert scores["Mean_IoU"] == pytest.approx(np.nanmean(expected))
    assert scores["Pixel_Accuracy"] == pytest.approx((labels == target)[valid].mean())
    assert all(type(value) is float for value in scores.values())


def test_by_hand():
    """Truth 0 0 1 1, found 0 1 1 1: IoU 1/2 and 2/3, Dice 2/3 and 4/5, accuracy 1/2 and 1."""
    metric = build("IoU", 3)
    metric.update(torch.tensor([[[0, 1, 1, 1, 2]]]), torch.tensor([[[0, 0, 1, 1, IGNORE]]]))
    scores = metric.compute()
    assert scores["IoU/0"] == pytest.approx(1 / 2) and scores["IoU/1"] == pytest.approx(2 / 3)
    assert math.isnan(scores["IoU/2"])
    assert scores["Mean_IoU"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores["Mean_Dice"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert scores["Mean_Accuracy"] == pytest.approx(3 / 4)
    assert scores["Pixel_Accuracy"] == pytest.approx(3 / 4)
    assert scores["Frequency_Weighted_IoU"] == pytest.approx((1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize("name", METRICS)
def test_names_before_any_update_and_all_void(name):
    metric = build(name, 4)
    before = metric.compute()
    assert all(math.isnan(value) for value in before.values())
    void = torch.full((1, 5, 5), IGNORE)
    metric.update(torch.zeros_like(void), void)
    after = metric.compute()
    assert after.keys() == before.keys() and all(math.isnan(value) for value in after.values())


@pytest.mark.parametrize("name", METRICS)
def test_batches_do_not_matter(name):
    labels, target = map(torch.from_numpy, random_maps(4))
    whole, parts = build(name, 4), build(name, 4)
    whole.update(labels, target)
    for label, truth in zip(labels, target, strict=True):
        parts.update(label[None], truth[None])
    assert whole.compute() == parts.compute()
    whole.reset()
    assert all(math.isnan(value) for value in whole.compute().values())


def test_counts_stay_exact_beyond_float32():
    metric = build("IoU", 2)
    metric.confusion += 2**24
    metric.update(torch.zeros(1, 1, 1, dtype=torch.int64), torch.zeros(1, 1, 1, dtype=torch.int64))
    assert metric.confusion[0, 0] == 2**24 + 1


def test_one_score_twice_is_refused():
    section = {"type": "IoU", "args": {}}
    with pytest.raises(UserError, match="two metrics give"):
        MetricGroup([section, section], 2, IGNORE, ["a", "b"])


def test_pictures_are_drawn():
    metric = build("IoU", 3)
    labels, target = map(torch.from_numpy, random_maps(3))
    metric.update(labels, target)
    picture = metric.pictures()["confusion_matrix"]
    assert picture.ndim == 3 and picture.dtype == np.uint8
