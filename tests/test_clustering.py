"""Labelers of embeddings: what all of them promise, over the registry."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.embedding_maps import draw_map, symmetric_best_dice
from utils.clustering import LABELERS
from utils.clustering.embedding_labeler import EmbeddingLabeler
from utils.errors import UserError

NAMES = [name for name in LABELERS if issubclass(LABELERS[name], EmbeddingLabeler)]


# by itself it finds two clusters or none
ONE = {"HDBSCAN": {"allow_single_cluster": True, "epsilon": 0.5}}


def label(name: str, outputs, mask=None, **args) -> torch.Tensor:
    return LABELERS.build({"type": name, "args": args})(outputs, mask)


def squares(distance: float = 3.0) -> tuple[dict, torch.Tensor]:
    """Two objects of 144 and 100 pixels on a background, 3 channels, one network like the other."""
    truth = torch.zeros(1, 40, 48, dtype=torch.int64)
    truth[:, 4:16, 5:17] = 1
    truth[:, 22:32, 25:35] = 2
    centres = distance * torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    noise = torch.randn(1, 3, 40, 48, generator=torch.Generator().manual_seed(0))
    embedding = centres[truth].movedim(-1, 1) + 0.05 * noise
    return {"out": embedding, "teacher": embedding + 0.01}, truth


@pytest.mark.parametrize("name", NAMES)
def test_objects_by_size_and_no_background(name):
    outputs, truth = squares()
    found = label(name, outputs)
    assert found.dtype == torch.int64 and torch.equal(found, truth)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_twice_and_whatever_the_batch(name):
    one, two = squares()[0], squares(-2.5)[0]
    both = {key: torch.cat([one[key], two[key]]) for key in one}
    found = label(name, both)
    assert torch.equal(found, label(name, both))
    assert torch.equal(found[1:], label(name, two))


@pytest.mark.parametrize("name", NAMES)
def test_the_mask_is_the_foreground(name):
    outputs, truth = squares()
    mask = truth > 0
    assert torch.equal(label(name, outputs, mask), truth)
    assert not label(name, outputs, torch.zeros_like(mask)).any()
    removed = label(name, outputs, mask, remove_largest=True)
    assert torch.equal(removed, (truth == 2).long())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_semantic_output_is_the_foreground(name, channels):
    outputs, truth = squares()
    scores = torch.nn.functional.one_hot(truth, 3).movedim(-1, 1).float()
    outputs["head"] = scores if channels == 3 else (truth > 0).float()[:, None] - 0.5
    assert torch.equal(label(name, outputs, semantic="head"), truth)
    if channels == 3:
        found = label(name, outputs, semantic="head", classes=[2], **ONE.get(name, {}))
        assert torch.equal(found, (truth == 2).long())


@pytest.mark.parametrize("name", NAMES)
def test_per_class_parts_what_the_embedding_does_not(name):
    outputs, truth = squares()
    outputs = {key: 0 * value for key, value in outputs.items()}
    outputs["head"] = torch.nn.functional.one_hot(truth, 3).movedim(-1, 1).float()
    one = ONE.get(name, {})
    assert torch.equal(label(name, outputs, semantic="head", per_class=True, **one), truth)
    assert torch.equal(label(name, outputs, semantic="head", **one), (truth > 0).long())


@pytest.mark.parametrize("name", NAMES)
def test_components_and_small_ones(name):
    outputs, truth = squares()
    alike = {
        key: torch.where(truth[:, None] == 2, value[..., 8:9, 8:9], value)
        for key, value in outputs.items()
    }
    assert torch.equal(label(name, alike), (truth > 0).long())
    assert torch.equal(label(name, alike, split_components=True), truth)
    large = {"min_size": 120, **ONE.get(name, {})}
    if name == "Consistency":
        large["iou_threshold"] = 0.5  # the larger object is 0.59 of both
    without = label(name, outputs, truth > 0, small="background", **large)
    assert torch.equal(without, (truth == 1).long())
    if name != "HDBSCAN":  # to which less than min_size is noise
        assert torch.equal(label(name, outputs, truth > 0, **large), (truth > 0).long())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_refused(name):
    outputs, _ = squares()
    with pytest.raises(UserError, match='reads the output "emb"; the model gives "out", "teacher"'):
        label(name, outputs, output="emb")
    with pytest.raises(UserError, match='reads the output "fg"; the model gives "out"'):
        label(name, outputs, semantic="fg")
    with pytest.raises(UserError, match='"out" has one channel; an embedding needs two or more'):
        label(name, {"out": outputs["out"][:, :1], "teacher": outputs["teacher"]})
    broken = outputs["out"].clone()
    broken[0, 1, 2, 3] = float("nan")
    with pytest.raises(UserError, match="not a finite number at 1 pixels"):
        label(name, {**outputs, "out": broken})
    with pytest.raises(UserError, match=r"the mask is \(1, 20, 24\), the embedding \(1, 40, 48\)"):
        label(name, outputs, torch.ones(1, 20, 24, dtype=torch.bool))
    small = {**outputs, "head": torch.zeros(1, 2, 20, 24)}
    with pytest.raises(UserError, match=r'output "head" is \(1, 20, 24\), the embedding'):
        label(name, small, semantic="head")
    with pytest.raises(UserError, match=r'classes are \[4\]; those of "teacher" are 0 to 2'):
        label(name, outputs, semantic="teacher", classes=[4])
    with pytest.raises(UserError, match="min_size is -1; it must not be negative"):
        label(name, outputs, min_size=-1)
    with pytest.raises(UserError, match="classes and per_class need semantic"):
        label(name, outputs, classes=[1])


@pytest.mark.parametrize("name", NAMES)
def test_flat_and_tiny_maps(name):
    one = torch.zeros(1, 4, 64, 65)
    assert not label(name, {"out": one, "teacher": one}).any()
    whole = label(name, {"out": one, "teacher": one}, remove_largest=False, **ONE.get(name, {}))
    assert (whole == 1).all()
    dot = torch.zeros(1, 4, 2, 3)
    assert not label(name, {"out": dot, "teacher": dot}).any()


@pytest.mark.parametrize("name", ["MeanShift", "MeanShiftPlus", "Density", "DBSCAN"])
def test_blurred_borders_are_no_objects(name):
    """Nineteen ellipses; a pixel halfway between two is far from both in the embedding."""
    embedding, truth = draw_map(0, size=224, blur=1.5)
    args = {"delta_dist": 1.5} if name == "MeanShiftPlus" else {}
    found = label(name, {"out": embedding}, **args)[0].numpy()
    assert len(np.unique(found)) == len(np.unique(truth))
    assert symmetric_best_dice(found, truth) > 0.95


def test_the_score_by_hand():
    """Objects of 4 and 2 pixels; found are 3 of the first and nothing else: Dices 6/7 and 0."""
    truth = np.array([[1, 1, 1, 1], [2, 2, 0, 0]])
    found = np.array([[1, 1, 1, 0], [0, 0, 0, 0]])
    assert symmetric_best_dice(found, truth) == pytest.approx((6 / 7 + 0) / 2)
    assert symmetric_best_dice(truth, truth) == 1
    assert symmetric_best_dice(0 * found, truth) == 0
