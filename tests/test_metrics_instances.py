"""InstanceScores against small maps by hand and against loops over masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from utils.contingency import contingency
from utils.metrics import METRICS

NAN = math.nan


def build(spec="InstanceScores"):
    return METRICS.build(spec, num_classes=2, ignore_index=-1)


def score(found, truth, **outputs) -> dict[str, float]:
    """Of one image, (H, W) or (P,) each, or of several."""
    metric = build({"type": "InstanceScores", "args": {"scores": "rank"} if outputs else {}})
    found, truth = (torch.as_tensor(each) for each in (found, truth))
    if found.ndim < 3:
        found, truth = found.reshape(1, 1, -1), truth.reshape(1, 1, -1)
    metric.update(found, truth, outputs)
    return metric.compute()


def ids(text: str) -> list[int]:
    return [int(letter) for letter in text]


def blobs(seed: int, count: int, ids_from: int = 1, background: bool = True, size: int = 40):
    """An object map (H, W) of `count` seeds, each pixel its nearest one's, some background."""
    rng = np.random.default_rng(seed)
    if not count:
        return np.zeros((size, size), np.int64)
    places = np.stack(np.mgrid[:size, :size], -1).reshape(-1, 1, 2)
    far = np.linalg.norm(places - rng.random((count, 2)) * size, axis=2)
    found = far.argmin(1) + ids_from
    if background:
        found[far.min(1) > 0.45 * size / math.sqrt(count)] = 0
    return found.reshape(size, size)


def brute_force(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The per-image scores and counts from masks, one pair after another, in float64."""
    valid = truth >= 0
    found, truth = found[valid], truth[valid]
    ours = [found == i for i in sorted(set(found.tolist()) - {0})]
    true = [truth == i for i in sorted(set(truth.tolist()) - {0})]
    dice = np.array([[2 * (a & b).sum() / (a.sum() + b.sum()) for b in true] for a in ours])
    iou = np.array([[(a & b).sum() / (a | b).sum() for b in true] for a in ours])
    hits = [(iou > t / 20).sum() if iou.size else 0 for t in range(10, 20)]
    a, t = (found != 0), (truth != 0)
    both = len(ours) and len(true)
    pairs = [[0, 0], [0, 0]]  # pairs of true pixels: together in truth, together in found
    for f1, t1 in zip(found[t], truth[t], strict=True):
        in_truth = truth[t] == t1
        in_found = (found[t] == f1) & (f1 != 0)
        pairs[0][0] += (in_truth & in_found).sum() - (f1 != 0)
        pairs[0][1] += in_truth.sum() - 1
        pairs[1][1] += in_found.sum() - (f1 != 0)
    total = pairs[0][1] + pairs[1][1]
    split = merge = 0.0
    for i in set(found.tolist()):
        for j in set(truth.tolist()):
            p = np.mean((found == i) & (truth == j))
            if p:
                split -= p * math.log2(p / np.mean(truth == j))
                merge -= p * math.log2(p / np.mean(found == i))
    none = not ours and not true
    return {
        "SBD": min(dice.max(1).mean(), dice.max(0).mean()) if both else float(none),
        "DiC": abs(len(ours) - len(true)),
        "Foreground_Dice": 2 * (a & t).sum() / (a.sum() + t.sum()) if not none else 1.0,
        "AP50": hits[0] / (len(ours) + len(true) - hits[0]) if not none else 1.0,
        "AP": np.mean([h / (len(ours) + len(true) - h) for h in hits]) if not none else 1.0,
        "Adapted_Rand_Error": 1 - 2 * pairs[0][0] / total if total else NAN,
        "VoI_Split": split,
        "VoI_Merge": merge,
        "counts": (hits[0], len(ours), len(true), iou[iou > 0.5].sum() if iou.size else 0.0),
    }


CASES = {
    "alike": (blobs(0, 9), blobs(0, 9)),
    "shifted": (np.roll(blobs(1, 12), 2, 1), blobs(1, 12)),
    "merged": (np.minimum(blobs(2, 12), 7), blobs(2, 12)),
    "unrelated": (blobs(3, 6), blobs(4, 15)),
    "no zero": (blobs(5, 8, background=False), blobs(6, 8, background=False)),
    "large ids": (blobs(7, 8, 2**40), np.roll(blobs(7, 8, 2**62), 1, 0)),
    "none found": (blobs(0, 0), blobs(8, 5)),
    "none true": (blobs(8, 5), blobs(0, 0)),
    "none at all": (blobs(0, 0), blobs(0, 0)),
    "part void": (blobs(9, 9), np.where(blobs(9, 3) == 2, -1, np.roll(blobs(9, 9), 1, 1))),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_counting_masks(case):
    found, truth = CASES[case]
    scores, expected = score(found, truth), brute_force(found, truth)
    matches, ours, true, overlap = expected.pop("counts")
    for key, value in expected.items():
        assert scores[key] == pytest.approx(value, abs=1e-10, nan_ok=True), key
    assert scores["VoI"] == pytest.approx(expected["VoI_Split"] + expected["VoI_Merge"])
    for key, part, whole in (
        ("Precision", matches, ours),
        ("Recall", matches, true),
        ("F1", 2 * matches, ours + true),
        ("RQ", 2 * matches, ours + true),
        ("PQ", 2 * overlap, ours + true),
        ("SQ", overlap, matches),
    ):
        expected = part / whole if whole else NAN
        assert scores[key] == pytest.approx(expected, nan_ok=True), key
    assert all(type(value) is float for value in scores.values())


def test_by_hand():
    """The worked example of docs/instance_scores.md: best Dice 6/7, 4/5 and 1/3."""
    scores = score(ids("0111022333"), ids("1111022200"))
    assert scores["SBD"] == pytest.approx((6 / 7 + 4 / 5 + 1 / 3) / 3)
    assert scores["DiC"] == 1
    assert scores["Foreground_Dice"] == pytest.approx(2 * 6 / (8 + 7))
    assert scores["AP50"] == pytest.approx(2 / 3)  # IoUs 3/4 and 2/3
    assert scores["AP"] == pytest.approx((4 * 2 / 3 + 1 * 1 / 4 + 0) / 10)
    assert scores["Precision"] == pytest.approx(2 / 3) and scores["Recall"] == 1
    assert scores["F1"] == scores["RQ"] == pytest.approx(4 / 5)
    assert scores["SQ"] == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert scores["PQ"] == pytest.approx(scores["SQ"] * scores["RQ"])
    assert scores["Adapted_Rand_Error"] == pytest.approx(1 - 2 * (6 + 2) / ((12 + 6) + (6 + 2)))


def test_voi_by_hand():
    """One object of four pixels found in two halves: one bit of splits, none of merges."""
    scores = score(ids("1122"), ids("1111"))
    assert (scores["VoI_Split"], scores["VoI_Merge"], scores["VoI"]) == (1, 0, 1)
    swapped = score(ids("1111"), ids("1122"))
    assert (swapped["VoI_Split"], swapped["VoI_Merge"]) == (0, 1)


def test_half_an_object_is_no_match():
    """An IoU of just 0.5: were it one, both halves would match."""
    assert score(ids("1122"), ids("1111"))["AP50"] == 0
    assert score(ids("11122"), ids("11111"))["AP50"] == pytest.approx(1 / 2)


def test_thresholds_are_exact():
    """IoU 11/20, 12/20, ... are not above the thresholds they equal."""
    for twentieths in range(11, 20):
        truth = np.ones(20, np.int64)
        found = np.where(np.arange(20) < twentieths, 1, 0)
        assert score(found, truth)["AP"] == pytest.approx((twentieths - 10) / 10)


def test_numbering_does_not_matter():
    found, truth = CASES["shifted"]
    other = np.random.default_rng(0).permutation(np.arange(1, 13)) * 1000
    renamed = np.concatenate([[0], other])[found]
    assert score(renamed, truth) == pytest.approx(score(found, truth), abs=1e-10)


def test_means_and_sums_over_images():
    """SBD is the mean over images, F1 is of the counts of all; a true object is in one only."""
    found = torch.tensor([ids("1122"), ids("1100"), ids("0000")])[:, None]
    truth = torch.tensor([ids("1122"), ids("0000"), ids("0000")])[:, None]
    scores = score(found, truth)
    assert scores["SBD"] == pytest.approx((1 + 0 + 1) / 3)
    assert scores["DiC"] == pytest.approx(1 / 3)
    assert scores["AP50"] == pytest.approx((1 + 0 + 1) / 3)
    assert scores["Precision"] == pytest.approx(2 / 3) and scores["Recall"] == 1
    assert scores["Adapted_Rand_Error"] == 0


def test_order_of_images_does_not_matter_to_the_bit():
    pairs = [CASES[case] for case in CASES]
    forward, backward = build(), build()
    for found, truth in pairs:
        forward.update(torch.from_numpy(found)[None], torch.from_numpy(truth)[None])
    for found, truth in pairs[::-1]:
        backward.update(torch.from_numpy(found)[None], torch.from_numpy(truth)[None])
    assert forward.compute() == backward.compute()


def test_state_is_sums():
    """What several processes counted may be added up."""
    pairs = list(CASES.values())
    whole, parts = build(), [build(), build()]
    for index, (found, truth) in enumerate(pairs):
        maps = torch.from_numpy(found)[None], torch.from_numpy(truth)[None]
        whole.update(*maps)
        parts[index % 2].update(*maps)
    for name, value in vars(parts[0]).items():
        if isinstance(value, torch.Tensor):
            value += getattr(parts[1], name)
    assert parts[0].compute() == whole.compute()


def test_ranked_precision_by_hand():
    """Scores 0.9 wrong, 0.8 and 0.6 right, two of three objects found: 2/3 at the recall 2/3."""
    logits = torch.tensor([0.8, 0.8, 0.9, 0.9, 0.6, 0.6, 0.1, 0.1]).logit().reshape(1, 1, 1, 8)
    scores = score(ids("11223300"), ids("11002233"), rank=logits)
    assert scores["Ranked_AP50"] == pytest.approx(2 / 3 * 2 / 3)
    assert scores["Ranked_AP"] == pytest.approx(2 / 3 * 2 / 3)
    assert scores["AP50"] == pytest.approx(2 / 4)
    turned = score(ids("11223300"), ids("11002233"), rank=-logits)  # the wrong one comes last
    assert turned["Ranked_AP50"] == pytest.approx(2 / 3)


def test_ranked_precision_without_objects():
    rank = torch.zeros(1, 1, 1, 4)
    assert score(ids("0000"), ids("1100"), rank=rank)["Ranked_AP"] == 0
    assert math.isnan(score(ids("1100"), ids("0000"), rank=rank)["Ranked_AP"])
    assert "Ranked_AP" not in score(ids("1100"), ids("1100"))


def test_ranking_needs_its_output():
    metric = build({"type": "InstanceScores", "args": {"scores": "rank"}})
    maps = torch.ones(1, 4, 5, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"ranks by the output 'rank'; the outputs are \['out'\]"):
        metric.update(maps, maps, {"out": torch.zeros(1, 2, 4, 5)})
    with pytest.raises(ValueError, match=r"is \(1, 2, 4, 5\); expected \(1, 1, 4, 5\)"):
        metric.update(maps, maps, {"rank": torch.zeros(1, 2, 4, 5)})


def test_contingency_of_nothing():
    table = contingency(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert len(table.pixels) == len(table.found_ids) == len(table.truth_sizes) == 0
