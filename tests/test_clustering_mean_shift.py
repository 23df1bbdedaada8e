"""Mean shift: modes, borders, small and thin objects; order and pieces of label maps."""

from __future__ import annotations

import pytest
import torch

from base.base_loss import BaseLoss
from utils.clustering import LABELERS, MeanShift
from utils.clustering.borders import is_between
from utils.clustering.mean_shift import apart
from utils.clustering.pieces import by_size, components, fill, without_small
from utils.clustering.spread import count_near
from utils.clustering.valleys import join_modes
from utils.clustering.windows import homogeneous_windows
from utils.errors import UserError
from utils.losses import LOSSES
from utils.scoring import told_by_loss


@pytest.mark.parametrize("name", ["MeanShift", "MeanShiftPlus"])
def test_ground_that_drifts_is_one_object(name):
    """A ramp as wide as two bandwidths with most of its pixels at one end: one maximum."""
    across = torch.cat([torch.zeros(40), torch.linspace(0, 1, 24)])
    embedding = torch.stack([across, torch.zeros(64)])[None, :, None].expand(1, 2, 32, 64)
    mask = torch.ones(1, 32, 64, dtype=torch.bool)
    assert LABELERS[name](delta_var=0.5)({"out": embedding}, mask).max() == 1
    modes = LABELERS["MeanShift"](delta_var=0.5, saddle=None)
    assert modes({"out": embedding}, mask).max() == 2


def hill_of_each(modes: list[float], points: torch.Tensor, radius: float) -> list[int]:
    """On a line; a mode joins where the density nowhere falls below nine tenths of its own."""
    modes = torch.tensor(modes)[:, None]
    found, tops = join_modes(
        modes, lambda places: count_near(places, points[:, None], radius), radius, saddle=0.9
    )
    for number, top in enumerate(tops, 1):
        own = modes[found == number]
        densest = count_near(own, points[:, None], radius).argmax()
        assert torch.equal(own[densest], top)
    return found.tolist()


def test_a_plateau_is_one_hill_and_a_valley_parts_two():
    """Points from 0 to 2 at equal density; then a third of those from 0.8 to 1.2 alone."""
    plateau = torch.linspace(0, 2, 101)
    assert hill_of_each([0.4, 1.0, 1.6], plateau, 0.3) == [1, 1, 1]
    kept = (plateau - 1).abs() > 0.2
    kept[::3] = True
    assert hill_of_each([0.4, 1.6], plateau[kept], 0.3) == [1, 2]


def test_hills_are_numbered_from_the_densest_and_nothing_parts():
    """Thin, dense, dense beside the last; and a mode where no point lies."""
    points = torch.cat([torch.zeros(3), torch.linspace(5, 6, 60), torch.full((20,), 5.2)])
    assert hill_of_each([0.0, 5.8, 5.3, 6.9], points, 0.4) == [2, 1, 1, 3]


def test_a_hill_far_away_is_another():
    """The line between them lies on even ground, four radii long."""
    points = torch.linspace(0, 4, 401)
    assert hill_of_each([1.0, 3.0], points, 0.5) == [1, 2]
    assert hill_of_each([1.0, 2.0, 3.0], points, 0.5) == [1, 1, 1]


def test_a_field_of_many_modes_asks_for_few_places():
    """The density is looked at along lines to the nearest denser modes alone."""
    modes, asked = torch.rand(600, 3, generator=torch.Generator().manual_seed(0)), []

    def density(places: torch.Tensor) -> torch.Tensor:
        asked.append(len(places))
        return torch.full((len(places),), 5.0)

    assert join_modes(modes, density, 1.0, 0.9)[0].max() == 1
    assert sum(asked) <= 600 + 600 * 7 * 8


def test_small_objects_beside_a_large_one_stay():
    """Six discs of 61 to 109 pixels, 1.3 from the background in the embedding."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(300), torch.arange(300), indexing="ij")
    truth = torch.zeros(300, 300, dtype=torch.int64)
    for number, radius in enumerate((4.3, 4.6, 4.9, 5.2, 5.5, 5.9), 1):
        truth[(y - 40 * number) ** 2 + (x - 45 * number) ** 2 < radius**2] = number
    centres = torch.cat([torch.zeros(1, 16), 1.3 * torch.eye(16)[:6]])
    noise = 0.04 * torch.randn(16, 300, 300, generator=generator)
    embedding = (centres[truth].movedim(-1, 0) + noise)[None]
    for seed in range(3):
        labeler = LABELERS["MeanShift"](delta_var=0.5, min_size=20, seed=seed)
        found = labeler({"out": embedding})[0]
        assert found.max() == 6
        assert all((found[truth == number] > 0).float().mean() > 0.5 for number in range(1, 7))


def test_order_is_by_size_then_by_place():
    labels = torch.tensor([[9, 9, 0, 4], [7, 7, 7, 4]])
    assert by_size(labels).tolist() == [[2, 2, 0, 3], [1, 1, 1, 3]]
    assert by_size(0 * labels).tolist() == [[0] * 4] * 2


def test_small_pieces_go_to_the_nearest():
    labels = torch.tensor([[1, 1, 1, 0, 2, 3, 3, 3]])
    assert without_small(labels, 2).tolist() == [[1, 1, 1, 0, 3, 3, 3, 3]]
    assert without_small(labels, 2, "background").tolist() == [[1, 1, 1, 0, 0, 3, 3, 3]]
    assert without_small(labels, 9).tolist() == [[0] * 8]
    assert without_small(labels, 0).equal(labels)


def test_fill_by_hand():
    labels = torch.tensor([[5, 0, 0, 0, 0, 6]])
    holes = torch.tensor([[False, True, True, True, False, False]])
    assert fill(labels, holes).tolist() == [[5, 5, 5, 6, 0, 6]]
    assert fill(0 * labels, holes).equal(0 * labels)


def test_components_touch_at_corners():
    labels = torch.tensor([[1, 0, 1, 2], [0, 1, 0, 2], [0, 0, 0, 0], [1, 1, 0, 2]])
    found = components(labels)
    assert (found > 0).equal(labels > 0)
    assert [len(found[labels == value].unique()) for value in (1, 2)] == [2, 2]


def test_modes_of_a_line_of_points():
    """Ten points about 0, six about 2, none within half of the other: two modes, their means."""
    points = torch.cat([torch.linspace(-0.2, 0.2, 10), torch.linspace(1.9, 2.1, 6)])
    points = torch.stack([points, 0 * points], 1)
    modes = MeanShift(delta_var=0.5)._shift(points)
    torch.testing.assert_close(modes, torch.tensor([[0.0, 0.0], [2.0, 0.0]]), atol=1e-5, rtol=0)


def test_the_gaussian_kernel_finds_the_stationary_point():
    points = torch.tensor([[0.0, 0.0], [0.3, 0.0], [0.9, 0.0]])
    labeler = MeanShift(bandwidth=0.5, kernel="gaussian")
    mode = labeler._shift(points)[0].double()
    weights = (-0.5 * ((points.double() - mode) / 0.5).square().sum(1)).exp()
    expected = (weights[:, None] * points).sum(0) / weights.sum()
    torch.testing.assert_close(mode, expected, atol=1e-3, rtol=0)


def test_apart_takes_the_densest_first():
    places = torch.tensor([[0.0], [0.4], [0.8], [1.4]])
    kept = apart(torch.tensor([1.0, 3.0, 2.0, 1.0]), torch.cdist(places, places), 0.5)
    assert kept.tolist() == [1, 3]


def test_between_two_others():
    ends = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    points = torch.tensor([[1.0, 0.1], [1.0, 0.6], [2.4, 0.0], [3.0, 0.0]])
    assert is_between(points, ends, 0.5).tolist() == [True, False, True, False]
    assert is_between(points, ends[:1], 0.5).tolist() == [False] * 4


def test_windows_stop_at_the_foreground_and_at_steep_ground():
    embedding = torch.zeros(2, 9, 20)
    embedding[0, :, 10:] = 2.0
    whole, _ = homogeneous_windows(embedding, torch.ones(9, 20, dtype=torch.bool), 0.5)
    assert set(whole[:, 0].tolist()) == {0.0, 2.0} and not whole[:, 1].any()
    left = torch.zeros(9, 20, dtype=torch.bool)
    left[:, :11] = True
    inside, _ = homogeneous_windows(embedding, left, 0.5)
    assert len(inside) < len(whole) and inside[:, 0].max() == 2.0 / 2


def test_thin_objects_in_a_mask():
    """Lanes three pixels wide; what lies beside them does not count."""
    truth = torch.zeros(1, 64, 96, dtype=torch.int64)
    for number, column in enumerate((10, 40, 70), 1):
        for row in range(64 - 8 * number):
            truth[0, row, column + row // 4 : column + row // 4 + 3] = number
    centres = torch.tensor([[0.0, 0], [3, 0], [0, 3], [3, 3]])
    noise = torch.randn(1, 2, 64, 96, generator=torch.Generator().manual_seed(0))
    embedding = centres[truth].movedim(-1, 1) + 0.1 * noise
    embedding += 5 * noise * (truth == 0)[:, None]
    assert torch.equal(MeanShift()({"out": embedding}, truth > 0), truth)


@pytest.mark.parametrize("name", ["MeanShift", "MeanShiftPlus", "Density", "DBSCAN"])
def test_a_border_that_passes_by_a_third_object(name):
    """Background 0, objects at 3 and 6: the blurred rim of 6 is at 3, far from that object."""
    truth = torch.zeros(1, 80, 120, dtype=torch.int64)
    truth[0, 10:30, 10:40], truth[0, 45:70, 70:105] = 1, 2
    place = torch.tensor([0.0, 3.0, 6.0])[truth][:, None]
    blurred = torch.nn.functional.avg_pool2d(place, 5, 1, 2, count_include_pad=False)
    noise = torch.randn(1, 2, 80, 120, generator=torch.Generator().manual_seed(0))
    embedding = torch.cat([blurred, 0 * blurred], 1) + 0.05 * noise
    found = LABELERS.build({"type": name, "args": {"delta_var": 0.5}})({"out": embedding})
    assert found.max() == 2
    left = found[..., :55].unique().tolist(), found[..., 55:].unique().tolist()
    assert left == ([0, 2], [0, 1])
    assert (found.bool() == truth.bool()).float().mean() > 0.97


def test_a_network_that_has_learnt_nothing_is_no_trap():
    embedding = 5 * torch.randn(1, 8, 128, 128, generator=torch.Generator().manual_seed(0))
    assert MeanShift()({"out": embedding}).shape == (1, 128, 128)


@pytest.mark.parametrize("name", ["delta_var", "bandwidth"])
def test_a_radius_that_is_none(name):
    with pytest.raises(UserError, match=f"{name} is 0; it must be above 0"):
        LABELERS.build({"type": "MeanShift", "args": {name: 0}})


class Teller(BaseLoss):
    """Stands for a discriminative loss."""

    tells_labeler = ("delta_var", "delta_dist")

    def __init__(self, num_classes: int, ignore_index: int, delta_var: float = 0.3, delta_dist=1.5):
        super().__init__(num_classes, ignore_index)

    def terms(self, prediction, target):
        return {}


def test_the_loss_tells_its_radius(monkeypatch):
    monkeypatch.setitem(LOSSES._classes, "Teller", Teller)
    labeler = {"type": "MeanShift", "args": {"output": "emb"}}
    loss = {"type": "Teller", "output": "emb", "args": {}}
    other = {"type": "Teller", "args": {"delta_var": 0.9}}
    assert told_by_loss(labeler, [other, loss])["args"] == {"output": "emb", "delta_var": 0.3}
    loss["args"] = {"delta_var": 0.4}
    assert told_by_loss(labeler, [other, loss])["args"] == {"output": "emb", "delta_var": 0.4}
    labeler["args"]["delta_var"] = 0.7
    assert told_by_loss(labeler, loss)["args"] == {"output": "emb", "delta_var": 0.7}
    assert told_by_loss({"type": "Argmax", "args": {}}, "Teller")["args"] == {}
