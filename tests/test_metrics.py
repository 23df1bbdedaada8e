"""Scores against counting by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from utils.errors import UserError
from utils.metrics import METRICS, MetricGroup
from utils.targets import ignored_label

IGNORE = 255
SEMANTIC = [name for name in METRICS if METRICS[name].target == "semantic"]
INSTANCE = [name for name in METRICS if METRICS[name].target == "instance"]


def ignored_by(name: str) -> int:
    return ignored_label(METRICS[name].target, IGNORE)


def build(name: str, classes: int):
    return METRICS.build(name, num_classes=classes, ignore_index=ignored_by(name))


def maps_for(name: str, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """labels and target as the metric's own kind of target has them."""
    labels, target = map(torch.from_numpy, random_maps(classes))
    return labels, target.masked_fill(target == IGNORE, ignored_by(name))


def random_maps(classes: int, absent: int = 0, shape=(3, 20, 24)):
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes - absent, shape)
    target = np.where(rng.random(shape) < 0.6, labels, rng.integers(0, classes - absent, shape))
    target[rng.random(shape) < 0.1] = IGNORE
    return labels, target


def random_scores(target: torch.Tensor, classes: int) -> dict[str, torch.Tensor]:
    """Outputs a model might give: metrics that threshold scores read them, the others do not."""
    generator = torch.Generator().manual_seed(classes)
    return {"out": torch.randn(len(target), classes, *target.shape[1:], generator=generator)}


def about(target: torch.Tensor) -> list[dict]:
    """What a data set may say of each image: metrics of lanes read it, the others do not."""
    heights = list(range(0, target.shape[1], 4))
    lane = {"lanes": [[3] * len(heights)], "h_samples": heights, "size": tuple(target.shape[1:])}
    return [lane] * len(target)


@pytest.mark.parametrize("classes, absent", [(2, 0), (11, 0), (11, 2), (19, 3), (182, 11)])
def test_iou_equals_counting(classes, absent):
    labels, target = random_maps(classes, absent)
    metric = build("IoU", classes)
    metric.update(torch.from_numpy(labels), torch.from_numpy(target))
    scores = metric.compute()
    valid = target != IGNORE
    expected = {key: [] for key in ("IoU", "Dice", "Accuracy", "Precision")}
    weighed = 0.0
    for c in range(classes):
        truth, found = (target == c) & valid, (labels == c) & valid
        hits, union = (truth & found).sum(), (truth | found).sum()
        wholes = {"IoU": union, "Accuracy": truth.sum(), "Precision": found.sum()}
        for key, whole in wholes.items():
            expected[key].append(hits / whole if whole else math.nan)
        sizes = truth.sum() + found.sum()
        expected["Dice"].append(2 * hits / sizes if sizes else math.nan)
        for key, values in expected.items():
            assert scores[f"{key}/{c}"] == pytest.approx(values[-1], nan_ok=True)
        if union:
            weighed += truth.sum() / valid.sum() * hits / union
    for key, values in expected.items():
        assert scores[f"Mean_{key}"] == pytest.approx(np.nanmean(values))
    assert scores["Frequency_Weighted_IoU"] == pytest.approx(weighed)
    assert scores["Pixel_Accuracy"] == pytest.approx((labels == target)[valid].mean())
    assert all(type(value) is float for value in scores.values())


def test_by_hand():
    """Truth 0 0 1 1 1, found 0 1 1 1 1: IoU 1/2 and 3/4, Dice 2/3 and 6/7, accuracy 1/2 and 1,
    precision 1 and 3/4; all means differ."""
    metric = build("IoU", 3)
    metric.update(torch.tensor([[[0, 1, 1, 1, 1, 2]]]), torch.tensor([[[0, 0, 1, 1, 1, IGNORE]]]))
    scores = metric.compute()
    assert scores["IoU/0"] == pytest.approx(1 / 2) and scores["IoU/1"] == pytest.approx(3 / 4)
    assert math.isnan(scores["IoU/2"])
    assert scores["Mean_IoU"] == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert scores["Mean_Dice"] == pytest.approx((2 / 3 + 6 / 7) / 2)
    assert scores["Mean_Accuracy"] == pytest.approx((1 / 2 + 1) / 2)
    assert scores["Mean_Precision"] == pytest.approx((1 + 3 / 4) / 2)
    assert scores["Pixel_Accuracy"] == pytest.approx(4 / 5)
    assert scores["Frequency_Weighted_IoU"] == pytest.approx(2 / 5 * 1 / 2 + 3 / 5 * 3 / 4)


@pytest.mark.parametrize("name", METRICS)
def test_names_before_any_update_and_all_void(name):
    metric = build(name, 4)
    before = metric.compute()
    assert all(math.isnan(value) for value in before.values())
    void = torch.full((1, 5, 5), ignored_by(name))
    metric.update(torch.zeros_like(void), void, random_scores(void, 4), about(void))
    after = metric.compute()
    assert after.keys() == before.keys() and all(math.isnan(value) for value in after.values())


@pytest.mark.parametrize("name", METRICS)
def test_batches_do_not_matter(name):
    labels, target = maps_for(name, 4)
    whole, parts = build(name, 4), build(name, 4)
    out = random_scores(target, 4)["out"]
    whole.update(labels, target, {"out": out}, about(target))
    for label, truth, scores in zip(labels, target, out, strict=True):
        parts.update(label[None], truth[None], {"out": scores[None]}, about(truth[None]))
    assert whole.compute() == parts.compute()
    whole.reset()
    assert all(math.isnan(value) for value in whole.compute().values())


@pytest.mark.parametrize("name", METRICS)
def test_what_is_ignored_changes_nothing(name):
    labels, target = maps_for(name, 4)
    outputs = random_scores(target, 4)
    ignored = target == ignored_by(name)
    plain, other = build(name, 4), build(name, 4)
    plain.update(labels, target, outputs, about(target))
    labels = torch.where(ignored, 99, labels)
    changed = {"out": outputs["out"].masked_fill(ignored[:, None], 7.0)}
    other.update(labels, target, changed, about(target))
    assert plain.compute() == other.compute()


@pytest.mark.parametrize("name", SEMANTIC)
@pytest.mark.parametrize("stray", [4, -1, 254, 2**40])
def test_a_target_that_is_no_class_is_refused(name, stray):
    labels, target = map(torch.from_numpy, random_maps(4))
    target[0, 0, :3] = stray
    metric = build(name, 4)
    metric.update(labels, target, random_scores(target, 4))
    with pytest.raises(UserError, match="3 pixels .* none of the 4 classes, 0 to 3, nor ignored"):
        metric.compute()
    metric.reset()
    metric.compute()


@pytest.mark.parametrize("name", INSTANCE)
@pytest.mark.parametrize("which", [0, 1])
def test_a_negative_id_is_refused(name, which):
    maps = maps_for(name, 4)
    maps[which][0, 0, :3] = -7
    maps[1 - which][0, 0, :3] = 1
    metric = build(name, 4)
    metric.update(*maps, None, about(maps[1]))
    with pytest.raises(UserError, match="3 pixels have a negative id .* -1 is ignored"):
        metric.compute()
    metric.reset()
    metric.compute()


@pytest.mark.parametrize("name", ["IoU", "BoundaryF"])
def test_a_label_that_is_no_class_is_refused(name):
    metric = build(name, 4)
    metric.update(torch.full((1, 2, 3), 4), torch.zeros(1, 2, 3, dtype=torch.int64))
    with pytest.raises(UserError, match="6 pixels have a label or a target that is none of the 4"):
        metric.compute()


@pytest.mark.parametrize("name", METRICS)
def test_maps_of_another_shape_or_type_are_refused(name):
    metric = build(name, 4)
    maps = torch.zeros(2, 5, 6, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"\(2, 5, 6\) .* \(2, 6, 5\); expected \(B, H, W\)"):
        metric.update(maps, maps.mT, random_scores(maps, 4))
    with pytest.raises(ValueError, match="torch.uint8.*expected int64"):
        metric.update(maps.byte(), maps, random_scores(maps, 4))


@pytest.mark.parametrize("name", ["IoU", "KittiRoad"])
def test_update_never_waits_for_the_device(name):
    """Torch's stand-in for a GPU refuses whatever needs a value on the host."""
    with FakeTensorMode():
        metric = build(name, 4)
        maps = torch.zeros(2, 5, 6, dtype=torch.int64, device="cuda")
        for _ in range(2):
            metric.update(maps, maps, {"out": torch.zeros(2, 4, 5, 6, device="cuda")})
        assert metric.counts.is_cuda and metric.counts.dtype == torch.int64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", METRICS)
def test_a_gpu_counts_the_same(name):
    labels, target = maps_for(name, 19)
    outputs = random_scores(target, 19)
    here, there = build(name, 19), build(name, 19)
    here.update(labels, target, outputs, about(target))
    there.update(labels.cuda(), target.cuda(), {"out": outputs["out"].cuda()}, about(target))
    assert there.compute() == pytest.approx(here.compute(), abs=1e-4, nan_ok=True)


def test_counts_stay_exact_beyond_float32():
    metric = build("IoU", 2)
    metric.counts += 2**24
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


@pytest.mark.parametrize("name", METRICS)
def test_ignore_index_is_no_class(name):
    with pytest.raises(UserError, match="ignore_index is 1, which is a class"):
        METRICS.build(name, num_classes=2, ignore_index=1)
