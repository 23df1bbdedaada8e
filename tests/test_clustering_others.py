"""Labelers beside mean shift, each by what it alone does."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from utils.clustering import LABELERS, MeanShiftPlus
from utils.clustering.borders import is_object
from utils.clustering.consistency import agrees
from utils.clustering.density import hills
from utils.clustering.sample_labeler import first_of_each
from utils.errors import UserError


def label(name: str, outputs, mask=None, **args) -> torch.Tensor:
    return LABELERS.build({"type": name, "args": args})(outputs, mask)


def stripes(centres: list[list[float]], width: int = 12) -> tuple[dict, torch.Tensor]:
    """Vertical stripes (1, E, 24, W), one a centre, with a little noise; and their numbers."""
    number = torch.arange(len(centres)).repeat_interleave(width).expand(1, 24, -1)
    embedding = torch.tensor(centres)[number].movedim(-1, 1)
    noise = torch.randn(embedding.shape, generator=torch.Generator().manual_seed(0))
    return {"out": embedding + 0.03 * noise}, number


def test_near_modes_are_merged_largest_first():
    """Held by 9, 5 and 4 pixels at 0, 1.5 and 3: the second joins the first, not the third."""
    modes = torch.tensor([[0.0, 0], [1.5, 0], [3.0, 0]])
    owners = MeanShiftPlus(delta_dist=2.0).objects(modes, torch.tensor([9, 5, 4]))
    assert owners.tolist() == [1, 1, 2]
    apart = MeanShiftPlus(delta_dist=1.0).objects(modes, torch.tensor([4, 9, 5]))
    assert apart.tolist() == [3, 1, 2]


def test_a_mode_joins_the_nearest_accepted():
    modes = torch.tensor([[0.0, 0], [3.0, 0], [1.8, 0]])
    owners = MeanShiftPlus(delta_dist=2.0).objects(modes, torch.tensor([9, 5, 4]))
    assert owners.tolist() == [1, 2, 2]


def test_merging_on_an_image():
    outputs, number = stripes([[0, 0], [5, 0], [6.2, 0], [5, 5]])
    mask = number > 0
    assert label("MeanShift", outputs, mask).max() == 3
    found = label("MeanShiftPlus", outputs, mask, delta_dist=1.5)
    expected = torch.tensor([0, 1, 1, 2])[number]
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", ["MeanShift", "MeanShiftPlus", "Density", "DBSCAN"])
def test_pixels_of_a_border_go_to_the_nearest_or_to_the_background(name):
    """Six columns from one object's embedding to the other's; those in the middle are like none."""
    across = torch.cat([torch.zeros(20), torch.linspace(0, 4, 8)[1:-1], torch.full((20,), 4.0)])
    embedding = torch.stack([across, torch.zeros(46)])[None, :, None].expand(1, 2, 24, 46)
    mask = torch.ones(1, 24, 46, dtype=torch.bool)
    nearest = label(name, {"out": embedding}, mask)
    assert torch.equal(nearest[0, 0].bincount(), torch.tensor([0, 23, 23]))
    left = label(name, {"out": embedding}, mask, border="background")
    assert (left[..., 21:25] == 0).all() and (left[..., :20] == left[..., :1]).all()
    assert torch.equal(left[left > 0], nearest[left > 0])


def test_hills_by_hand():
    """Points on a line; tops 9 and 8 with a saddle of 3 between them, which is below 8 / 2."""
    density = np.array([9, 8, 5, 5, 3])
    close = np.eye(5, dtype=bool)
    for a, b in [(0, 2), (1, 3), (2, 4), (3, 4)]:
        close[a, b] = close[b, a] = True
    assert hills(density, close, 0.5).tolist() == [0, 1, 0, 1, 0]
    assert hills(density, close, 0.3).tolist() == [0] * 5


def test_a_bridge_links_for_dbscan_and_not_for_density():
    """Two clusters of thirty points, and eight single ones in a row between them."""
    blob = 0.1 * torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    row = torch.stack([torch.linspace(0.3, 2.7, 8), torch.zeros(8)], 1)
    points = torch.cat([blob, blob + torch.tensor([3.0, 0]), row])
    weights = torch.tensor([10] * 60 + [1] * 8)
    linked = LABELERS["DBSCAN"](min_samples=2).cluster_points(points, weights)
    assert linked.unique().tolist() == [0]
    parted = LABELERS["Density"]().cluster_points(points, weights)
    assert parted.tolist()[:60] in ([0] * 30 + [1] * 30, [1] * 30 + [0] * 30)


def test_a_hill_needs_core_size_pixels_around_its_top():
    """A cluster of thirty windows, 120 pixels, and thirty in a row, five to a delta_var: 20."""
    blob = 0.1 * torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    row = torch.stack([3 + torch.arange(30) / 5, torch.zeros(30)], 1)
    points, weights = torch.cat([blob, row]), torch.ones(60, dtype=torch.int64)
    for args in ({"min_size": 200}, {"core_size": 20}):
        assert LABELERS["Density"](**args).cluster_points(points, weights).min() == 0
    found = LABELERS["Density"](min_size=0, core_size=21).cluster_points(points, weights)
    assert found.tolist() == [0] * 30 + [-1] * 30


@pytest.mark.parametrize("name", ["MeanShift", "MeanShiftPlus", "Density"])
def test_blurred_objects_above_min_size_are_found_wherever_the_embedding_lies(name):
    """25 discs of 61 pixels and more, least 50, at the origin and a thousand radii from it."""
    y, x = torch.meshgrid(torch.arange(130), torch.arange(130), indexing="ij")
    disc = ((y % 26 - 13) ** 2 + (x % 26 - 13) ** 2 < 4.5**2).long()
    ids = disc * (1 + y // 26 * 5 + x // 26)
    generator = torch.Generator().manual_seed(0)
    centres = 4 * torch.randn(26, 8, generator=generator)
    clean = centres[ids].movedim(-1, 0)[None]
    kernel = torch.tensor([1.0, 4, 6, 4, 1])
    kernel = (kernel[:, None] * kernel / 256).expand(8, 1, 5, 5)
    embedding = torch.nn.functional.conv2d(clean, kernel, padding=2, groups=8)
    embedding = embedding + 0.06 * torch.randn(embedding.shape, generator=generator)
    for shift in (0, 1000):
        found = label(name, {"out": embedding + shift})[0]
        assert found.max() == 25, shift
        assert (found[ids > 0] > 0).double().mean() > 0.7


def test_a_mask_of_numbers_is_where_they_are_not_0():
    outputs, number = stripes([[0, 0], [5, 0], [5, 5]])
    expected = label("MeanShift", outputs, number > 0)
    assert torch.equal(label("MeanShift", outputs, 2 * number), expected)


def test_hdbscan_parts_what_a_bridge_links_unless_epsilon_says_otherwise():
    """Two clusters with fifty border pixels between them, and a third far away."""
    blob = 0.1 * torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    row = torch.stack([torch.linspace(0.3, 2.7, 50), torch.zeros(50)], 1)
    points = torch.cat([blob, blob + torch.tensor([3.0, 0]), blob + 9, row])

    def clusters(**args) -> list[int]:
        found = LABELERS["HDBSCAN"](min_size=15, **args).cluster(
            points.T[:, None], torch.ones(1, len(points), dtype=torch.bool)
        )
        return [found[0, start : start + 200].mode().values.item() for start in (0, 200, 400)]

    assert len({*clusters(), 0}) == 4
    one, same, other = clusters(epsilon=0.5)
    assert one == same != other


def test_long_clusters_stay_whole():
    """A stripe whose embedding drifts by four radii is one hill of several modes."""
    outputs, number = stripes([[0.0, 0], [0, 0], [0, 0]], width=20)
    outputs["out"][0, 1, :, :20] += 5
    outputs["out"][0, 0, :, 20:] += torch.linspace(0, 2, 40)
    mask = torch.ones_like(number, dtype=torch.bool)
    expected = torch.where(number > 0, 1, 2)
    for name in ("Density", "MeanShift"):
        assert torch.equal(label(name, outputs, mask), expected), name
    assert label("MeanShift", outputs, mask, saddle=None).max() > 2


def test_a_border_is_no_object():
    """Of ten pixels of each cluster 10, 10, 4 and 4 are on windows; the third lies between two."""
    points = torch.tensor([[0.0, 0], [2, 0], [1, 0], [1, 5]])
    owners = torch.arange(1, 5)
    windows = points.repeat_interleave(torch.tensor([10, 10, 4, 4]), 0)
    owned = owners.repeat_interleave(40)
    kept = is_object(windows, points, owners, owned, 0.5)
    assert kept.tolist() == [False, True, True, False, True]


def test_first_of_each():
    owners = torch.tensor([2, 1, 1, 2, 1, 3])
    assert sorted(first_of_each(owners, 2).tolist()) == [0, 1, 2, 3, 5]


@pytest.mark.parametrize(
    "drawn, iou", [([0, 1, 3], 3 / 4), ([3], 1 / 5)], ids=["most of it", "its odd one"]
)
def test_agreement_by_hand(drawn, iou):
    """Pixels at 0, 0, 0, 1, 1; the cluster is the first four. IoUs 3/4 at 0, 1/5 at 1."""
    pixels = torch.tensor([[0.0, 0], [0, 0], [0, 0], [1, 0], [1, 0]])
    cluster = torch.tensor([True, True, True, True, False])
    assert agrees(pixels, pixels[drawn], cluster, 0.5, iou - 0.01)
    assert not agrees(pixels, pixels[drawn], cluster, 0.5, iou + 0.01)


def test_agreement_is_of_all_pixels():
    """Near the anchor lie the cluster's 40 pixels and one more of 960: an IoU of 40/41."""
    pixels = torch.full((1000, 2), 5.0)
    pixels[:41] = 0
    cluster = torch.arange(1000) < 40
    assert agrees(pixels, pixels[:1], cluster, 0.5, 40 / 41 - 1e-3)
    assert not agrees(pixels, pixels[:1], cluster, 0.5, 40 / 41 + 1e-3)
    pixels[41:] = 0
    assert not agrees(pixels, pixels[:1], cluster, 0.5, 40 / 1000 + 1e-3)


def test_agreement_is_the_median_of_the_anchors():
    """Two of three anchors find the cluster, the third nothing but itself: the mean is 0.67."""
    pixels = torch.zeros(100, 2)
    pixels[40:], pixels[39] = 5, 9
    cluster = torch.arange(100) < 40
    anchors = pixels[[0, 1, 39]]
    assert agrees(pixels, anchors, cluster, 0.5, 0.9)
    assert not agrees(pixels, pixels[[0, 39, 39]], cluster, 0.5, 0.1)


def test_the_anchors_of_consistency_follow_from_the_seed():
    """One anchor a cluster, of whose pixels 0.7 agree: what is kept is chance, by the seed."""
    outputs, number = stripes([[4.0 * i, 4.0 * j] for i in range(3) for j in range(4)])
    apart = torch.rand(number.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    outputs["teacher"] = outputs["out"] + 50 * apart[:, None]
    args = {"anchors": 1, "iou_threshold": 0.5}
    one, same, *others = (
        label("Consistency", outputs, number > 0, seed=seed, **args) for seed in (0, 0, 1, 2, 3)
    )
    assert torch.equal(one, same) and any(not torch.equal(one, other) for other in others)


@pytest.mark.parametrize("shift", [100, 1000])
def test_where_the_embedding_lies_does_not_matter_to_consistency(shift):
    outputs, number = stripes([[0, 0], [3, 0], [0, 3], [3, 3]])
    outputs["teacher"] = outputs["out"]
    far = {name: value + shift for name, value in outputs.items()}
    assert torch.equal(label("Consistency", far, number > 0), number)


def test_consistency_drops_what_the_teacher_does_not_part():
    outputs, number = stripes([[0, 0], [3, 0], [0, 3], [3, 3]])
    teacher, _ = stripes([[0, 0], [3, 0], [0, 3], [0, 3]])
    outputs["teacher"] = teacher["out"]
    found = label("Consistency", outputs, number > 0)
    assert torch.equal(found > 0, number == 1)
    assert torch.equal(label("Consistency", outputs, number > 0, iou_threshold=0.4), number)


@pytest.mark.parametrize(
    "name, args, message",
    [
        ("Consistency", {"iou_threshold": 1.5}, "iou_threshold is 1.5; it goes from 0 to 1"),
        ("Consistency", {"anchors": 0}, "anchors is 0; one or more are needed"),
        ("MeanShiftPlus", {"delta_dist": 0}, "delta_dist is 0; it must be above 0"),
        ("MeanShift", {"bandwidth": math.inf}, "bandwidth is inf; a finite number is needed"),
        ("Density", {"delta_var": math.nan}, "delta_var is nan; a finite number is needed"),
        ("MeanShiftPlus", {"delta_var": 2}, "delta_dist is 2.0 and the bandwidth 2; modes within"),
        ("MeanShiftPlus", {"bandwidth": 3}, "bandwidth 3; .* raise delta_dist, or take MeanShift"),
        ("Density", {"saddle": -1}, "saddle is -1; it goes from 0 to 1"),
        ("Density", {"saddle": None}, "saddle is None; it goes from 0 to 1"),
        ("MeanShift", {"saddle": 1.1}, "saddle is 1.1; it goes from 0 to 1"),
        ("Density", {"core_size": -1}, "core_size is -1; it must not be negative"),
        ("MeanShift", {"semantic": "s", "classes": []}, "classes is empty; name those that have"),
        ("DBSCAN", {"eps": 0}, "eps is 0; it must be above 0"),
        ("DBSCAN", {"min_samples": 0}, "min_samples is 0; one or more are needed"),
        ("HDBSCAN", {"epsilon": -1}, "epsilon is -1; 0 is the least"),
        ("HDBSCAN", {"epsilon": math.nan}, "epsilon is nan; a finite number is needed"),
        ("Seeded", {"radius": 0}, "radius is 0; it must be above 0"),
    ],
)
def test_refused_arguments(name, args, message):
    with pytest.raises(UserError, match=message):
        LABELERS.build({"type": name, "args": args})


def test_consistency_needs_the_moving_average():
    outputs, _ = stripes([[0, 0], [3, 0]])
    with pytest.raises(UserError, match='reads the output "teacher"; the model gives "out"'):
        label("Consistency", outputs)


def test_seeded_keeps_numbers_and_known_pixels():
    outputs, number = stripes([[0, 0], [3, 0], [0, 3], [9, 9]])
    mask = torch.zeros_like(number)
    mask[0, 5, 3:6], mask[0, 5, 26:30] = 40, 7
    mask[0, 0, 47] = 7
    found = label("Seeded", outputs, mask, radius=2.5)
    expected = torch.tensor([40, 0, 7, 0])[number]
    expected[0, 0, 47] = 7
    assert torch.equal(found, expected)
    assert not label("Seeded", outputs, 0 * mask).any()
    with pytest.raises(UserError, match="Seeded needs known pixels"):
        label("Seeded", outputs)
