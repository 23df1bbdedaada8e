"""KITTI's road scores against the counts at each threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dataloaders import DATASETS
from utils.clustering import LABELERS
from utils.errors import UserError
from utils.evaluate import evaluate
from utils.metrics import METRICS, MetricGroup
from utils.report.gallery import Gallery

IGNORE = 255


def build(classes: int = 2, **args):
    spec = {"type": "KittiRoad", "args": args}
    return METRICS.build(spec, num_classes=classes, ignore_index=IGNORE)


def logits(probability: list | np.ndarray) -> torch.Tensor:
    """One channel whose sigmoid is that, (B, 1, H, W)."""
    return torch.logit(torch.as_tensor(probability, dtype=torch.float32))[:, None]


def score(probability, target, meta=None, **args) -> dict[str, float]:
    metric = build(**args)
    target = torch.as_tensor(target)
    metric.update(torch.zeros_like(target), target, {"out": logits(probability)}, meta)
    return metric.compute()


def brute_force(probability: np.ndarray, road: np.ndarray) -> dict[str, float]:
    """From flat arrays, as the kit: count at every threshold, then take the best."""
    rows = []
    for threshold in (np.arange(256) / 255).astype(np.float32):
        said = probability >= threshold
        tp, fp = (said & road).sum(), (said & ~road).sum()
        precision, recall = tp / (tp + fp + 1e-10), tp / road.sum()
        f = 2 * precision * recall / (precision + recall + 1e-10)
        rows.append((f, precision, recall, fp / (~road).sum()))
    f, precision, recall, fpr = np.array(rows).T
    best = f.argmax()
    ap = sum(precision[recall >= i].max() for i in np.arange(0, 1.1, 0.1)) / 11
    return {
        "MaxF": f[best],
        "AP": ap,
        "PRE": precision[best],
        "REC": recall[best],
        "FPR": fpr[best],
        "FNR": 1 - recall[best],
        "MaxF_Threshold": best / 255,
    }


def test_by_hand():
    """Road at 0.9, 0.7, 0.3, not road at 0.8, 0.1, as thresholds fall:

    above 0.8: P 1/1, R 1/3; above 0.7: 1/2, 1/3; above 0.3: 2/3, 2/3; above 0.1: 3/4, 1; 3/5, 1.
    F is highest with 3/4 and 1: 6/7, from 26/255 on, the first threshold above 0.1. AP: P is at
    most 1 for R >= 0 to 0.3, then 3/4 for R >= 0.4 to 1, so (4 + 7 * 3/4) / 11.
    """
    scores = score([[[0.9, 0.7, 0.3, 0.8, 0.1]]], [[[1, 1, 1, 0, 0]]])
    assert scores == pytest.approx(
        {
            "MaxF": 6 / 7,
            "AP": (4 + 7 * 3 / 4) / 11,
            "PRE": 3 / 4,
            "REC": 1,
            "FPR": 1 / 2,
            "FNR": 0,
            "MaxF_Threshold": 26 / 255,
        }
    )
    assert all(type(value) is float for value in scores.values())


@pytest.mark.parametrize("classes, positive", [(2, 1), (2, 0), (19, 7), (182, 181)])
def test_equals_brute_force(classes, positive):
    rng = np.random.default_rng(classes + positive)
    target = torch.from_numpy(rng.integers(0, min(classes, 6), (3, 20, 24)))
    target[torch.from_numpy(rng.random(target.shape) < 0.3)] = positive
    target[torch.from_numpy(rng.random(target.shape) < 0.1)] = IGNORE
    road = target == positive
    out = torch.from_numpy(rng.normal(size=(3, classes, 20, 24))).float()
    out[:, positive] += 2 * road
    valid = rng.random(target.shape) < 0.8
    meta = [{"valid": area} for area in valid]
    metric = build(classes, positive=positive)
    for image in range(3):
        one = slice(image, image + 1)
        metric.update(target[one] * 0, target[one], {"out": out[one]}, meta[one])
    counted = (target != IGNORE) & torch.from_numpy(valid)
    probability = out.softmax(1)[:, positive]
    expected = brute_force(probability[counted].numpy(), road[counted].numpy())
    assert metric.compute() == pytest.approx(expected, rel=1e-8)


def test_every_threshold_belongs_to_the_road():
    """Probabilities that are thresholds themselves: p >= t holds at t = p."""
    thresholds = torch.arange(256) / 255
    metric = build()
    metric._probability = lambda outputs, target: thresholds.view(1, 16, 16)
    target = torch.ones(1, 16, 16, dtype=torch.int64)
    metric.update(target, target)
    assert metric.counts[256:512].tolist() == [1] * 256


def test_one_channel_is_two():
    probability, target = torch.rand(2, 6, 7), torch.randint(0, 2, (2, 6, 7))
    one = logits(probability)
    two, both = build(), {"out": torch.cat([torch.zeros_like(one), one], 1)}
    two.update(target, target, both)
    assert two.compute() == score(probability, target)


def test_valid_area_is_all_that_counts():
    probability, target = torch.rand(2, 6, 7), torch.randint(0, 2, (2, 6, 7))
    target[0, 0, :2] = torch.tensor([0, 1])
    valid = np.zeros((6, 7), bool)
    valid[0] = True
    kept = target.clone()
    kept[0, 1:] = IGNORE
    assert score(probability, target, [{"valid": valid}, {}]) == score(probability, kept)
    red = valid.astype(np.uint8) * 255
    assert score(probability, target, [{"valid": red}, {}]) == score(probability, kept)


def test_without_road_nothing_is_defined():
    scores = score([[[0.9, 0.1]]], [[[0, IGNORE]]])
    assert all(math.isnan(value) for value in scores.values())


def test_without_anything_but_road_only_fpr_is_undefined():
    scores = score([[[0.9, 0.1]]], [[[1, 1]]])
    assert scores["MaxF"] == scores["AP"] == 1 and math.isnan(scores["FPR"])


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="positive is 2; the classes are 0 to 1"):
        build(positive=2)
    maps = torch.zeros(2, 5, 6, dtype=torch.int64)
    with pytest.raises(UserError, match="reads the output 'out'; the model's outputs are none"):
        build().update(maps, maps)
    with pytest.raises(UserError, match="reads the output 'road'; the model's outputs are 'out'"):
        build(output="road").update(maps, maps, {"out": torch.zeros(2, 2, 5, 6)})
    wanted = r"is \(2, 2, 5, 5\), the target \(2, 5, 6\); expected \(B, C, H, W\) and \(B, H, W\)"
    with pytest.raises(ValueError, match=wanted):
        build().update(maps, maps, {"out": torch.zeros(2, 2, 5, 5)})
    with pytest.raises(UserError, match="reads 2 or 1 channels, one a class; .* 'out' has 8"):
        build().update(maps, maps, {"out": torch.zeros(2, 8, 5, 6)})
    with pytest.raises(UserError, match="reads 4 channels, one a class; the output 'out' has 1"):
        build(4).update(maps, maps, {"out": torch.zeros(2, 1, 5, 6)})
    with pytest.raises(ValueError, match=r"valid area is \(6, 5\); expected \(H, W\) = \(5, 6\)"):
        out = {"out": torch.zeros(2, 2, 5, 6)}
        build().update(maps, maps, out, [{"valid": np.ones((6, 5), bool)}, {}])


def test_the_evaluation_loop_and_its_gallery_hand_it_the_outputs():
    dataset = DATASETS.build({"type": "Shapes", "args": {"length": 3, "size": 64}})
    section = [{"type": "KittiRoad", "args": {"positive": 2}}]
    whole, each = (MetricGroup(section, 4, IGNORE, dataset.classes) for _ in range(2))
    gallery = Gallery(each, dataset, count=2)
    scores = evaluate(
        torch.nn.Identity(),
        [[dataset[0], dataset[1]], [dataset[2]]],
        lambda model, image: {"out": torch.cat([image, image[:, :1]], dim=1)},
        LABELERS.build("Argmax"),
        whole,
        torch.device("cpu"),
        visit=gallery.visit,
    )
    assert 0 < scores["MaxF"] < 1 and gallery.sheets().keys() == {"worst", "best", "examples"}
