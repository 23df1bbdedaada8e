"""The discriminative loss against its formula, written plainly in float64, loop by loop."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from utils.errors import UserError
from utils.losses import LOSSES, WeightedSum
from utils.losses.pieces import NUMBERS
from utils.losses.push import push_pixels
from utils.targets import require_targets

E = 3


def build(embedding_dim: int = E, **args):
    args = {"embedding_dim": embedding_dim, **args}
    return LOSSES.build(
        {"type": "Discriminative", "args": args}, num_classes=3, ignore_index=-1
    ).double()


def example(ids=(0, 1, 2, 5), dtype=torch.float64, size=(6, 7), channels=E):
    """Two images, the second without the last id; a corner is ignored."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, channels, *size)
    prediction = torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)
    target = torch.tensor(ids)[torch.randint(0, len(ids), (2, *size), generator=generator)]
    target[1][target[1] == ids[-1]] = ids[0]
    target[:, :2, :3] = -1
    return prediction.requires_grad_(True), target


def length(v: Tensor, norm: int) -> Tensor:
    return v.abs().sum() if norm == 1 else v.square().sum().sqrt()


def mean_square(excesses: list[Tensor]) -> float:
    """Of what is above zero; the others count as zero."""
    return sum(max(0.0, float(e)) ** 2 for e in excesses) / max(len(excesses), 1)


def plain(
    prediction, target, delta_var=0.5, delta_dist=1.5, norm=2, background="instance", classes=None
) -> dict[str, float]:
    """The terms, each a mean over images; `classes` gives the class of an id."""
    totals = {"pull": 0.0, "push": 0.0, "norm": 0.0, "background": 0.0}
    for image, y in zip(prediction.detach().double(), target, strict=True):
        ids = [i for i in y.unique().tolist() if i > 0 or (i == 0 and background == "instance")]
        pixels = {i: image[:, y == i].T for i in [0, *ids]}
        means = {i: pixels[i].sum(0) / len(pixels[i]) for i in ids}
        for i in ids:
            away = [length(v - means[i], norm) - delta_var for v in pixels[i]]
            near = [delta_dist - length(v - means[i], 2) for v in pixels[0]]
            totals["pull"] += mean_square(away) / len(ids)
            totals["norm"] += float(length(means[i], norm)) / len(ids)
            totals["background"] += mean_square(near) / len(ids)
        pairs = [
            (a, b)
            for a, b in itertools.permutations(ids, 2)
            if classes is None or classes[a] == classes[b]
        ]
        for a, b in pairs:
            gap = 2 * delta_dist - length(means[a] - means[b], norm)
            totals["push"] += max(0.0, float(gap)) ** 2 / len(pairs)
    if background != "push":
        del totals["background"]
    return {key: value / len(target) for key, value in totals.items()}


@pytest.mark.parametrize(
    "norm, background",
    [(2, "instance"), (2, "ignore"), (2, "push"), (1, "instance"), (1, "ignore")],
)
def test_equals_its_formula(norm, background):
    args = {"norm": norm, "background": background, "delta_var": 0.7, "delta_dist": 1.2}
    prediction, target = example()
    terms = build(**args, gamma=1.0).terms(prediction, target)
    expected = plain(prediction, target, **args)
    assert {key: term.item() for key, term in terms.items()} == pytest.approx(expected, rel=1e-9)


def test_float32_is_exact_to_five_digits():
    """On an object of 100 thousand pixels whose embeddings lie far from zero."""
    generator = torch.Generator().manual_seed(0)
    target = torch.zeros(1, 320, 320, dtype=torch.int64)
    target[:, :5] = 1
    prediction = torch.randn(1, E, 320, 320, generator=generator) + 5
    loss = LOSSES.build("Discriminative", num_classes=2, ignore_index=-1)
    loss.out_channels = E
    single = loss({"out": prediction}, target)
    double = loss.terms(prediction.double(), target)
    for key in double:
        assert single[key].item() == pytest.approx(double[key].item(), rel=1e-5)


def test_by_hand():
    """On a line of four pixels: means 0 and 2, their pixels 1 away, the means 2 apart."""
    prediction = torch.zeros(1, 2, 1, 4, dtype=torch.float64)
    prediction[0, 0, 0] = torch.tensor([-1.0, 1.0, 1.0, 3.0])
    target = torch.tensor([[[1, 1, 2, 2]]])
    terms = build(2, delta_var=0.5, delta_dist=1.5, gamma=1).terms(prediction, target)
    assert terms["pull"].item() == 0.25  # (1 - 0.5)^2 of every pixel
    assert terms["push"].item() == 1.0  # (2 * 1.5 - 2)^2 of both ordered pairs
    assert terms["norm"].item() == 1.0  # the mean of 0 and 2


def test_background_weight_by_hand():
    """The pixels above, two of them background: pulls of 0.25, and of three times 0.25."""
    prediction = torch.zeros(2, 2, 1, 4, dtype=torch.float64)
    prediction[:, 0, 0] = torch.tensor([-1.0, 1.0, 1.0, 3.0])
    target = torch.tensor([[[1, 1, 0, 0]], [[1, 1, 2, 2]]])
    plain, heavy = (build(2, background_weight=w) for w in (1.0, 3.0))
    first, second = prediction.split(1), target.split(1)
    assert heavy.terms(first[0], second[0])["pull"].item() == (3 * 0.25 + 0.25) / 2
    assert heavy.terms(first[1], second[1])["pull"].item() == 0.25  # no background there
    for name in ("push", "norm"):
        assert heavy.terms(prediction, target)[name] == plain.terms(prediction, target)[name]


def test_factors_scale_their_terms():
    prediction, target = example()
    one = build(gamma=1.0, background="push").terms(prediction, target)
    scaled = build(alpha=2.0, beta=3.0, gamma=4.0, background="push").terms(prediction, target)
    for key, factor in {"pull": 2, "push": 3, "norm": 4, "background": 3}.items():
        torch.testing.assert_close(scaled[key], factor * one[key])


@pytest.mark.parametrize(
    "args", [{}, {"norm": 1}, {"background": "ignore"}, {"background": "push"}], ids=str
)
def test_gradient_is_that_of_the_value(args):
    prediction, target = example()
    loss = build(gamma=1.0, **args)
    assert torch.autograd.gradcheck(
        lambda x: sum(loss.terms(x, target).values()), prediction, fast_mode=True
    )


def test_ids_may_be_any_whole_numbers():
    prediction, target = example()
    terms = build().terms(prediction, target)
    for names in ({1: 2, 2: 1, 5: 9}, {1: 2**62, 2: 3, 5: 2**40}):
        other = target.clone()
        for old, new in names.items():
            other[target == old] = new
        found = build().terms(prediction, other)
        for key in terms:
            torch.testing.assert_close(found[key], terms[key], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["Discriminative", "Spoco"])
def test_other_negative_ids_than_the_ignored_are_refused(name):
    section = {"type": name, "args": {"embedding_dim": 4}}
    ids = torch.tensor([[[0, 1, -1, 2], [1, 1, 2, -1]]])
    x = torch.randn(1, 4, 2, 4)

    def cost(ids: Tensor) -> dict:
        return LOSSES.build(section, num_classes=2, ignore_index=-1)({"out": x}, ids)

    cost(ids)
    stray = ids.clone()
    stray[0, 0, 0], stray[0, 1, 0] = -2, -7
    with pytest.raises(UserError, match="holds the ids -7, -2; ids of objects are 0 and up, and"):
        cost(stray)


def test_a_batch_is_the_mean_of_its_images():
    prediction, target = example()
    alone = [build().terms(prediction[i : i + 1], target[i : i + 1]) for i in range(2)]
    for key, term in build().terms(prediction, target).items():
        torch.testing.assert_close(term, (alone[0][key] + alone[1][key]) / 2)


@pytest.mark.parametrize("background", ["instance", "ignore", "push"])
@pytest.mark.parametrize("count", [0, 1, 200])
def test_none_one_or_hundreds_of_instances(count, background):
    """The second image is ignored whole, or holds background alone."""
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randn(3, E, 40, 41, generator=generator).requires_grad_(True)
    target = torch.randint(0, count + 1, (3, 40, 41), generator=generator)
    target[1], target[2] = -1, 0
    alone = build(background=background).terms(prediction[1:2], target[1:2])
    assert not any(alone.values())
    terms = build(background=background).terms(prediction, target)
    sum(terms.values()).backward()
    assert all(term.isfinite() for term in terms.values())
    assert prediction.grad.isfinite().all() and not prediction.grad[1].any()
    if background != "instance":
        assert not prediction.grad[2].any()
    expected = plain(prediction, target, background=background)
    expected["norm"] *= 0.001
    assert {k: t.item() for k, t in terms.items()} == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_equal_embeddings_have_a_finite_gradient():
    """Every distance is zero, where a norm has no gradient."""
    for background in ("instance", "push"):
        prediction = torch.ones(1, E, 4, 4, requires_grad=True)
        target = torch.arange(16).view(1, 4, 4) % 3
        terms = build(background=background).terms(prediction, target)
        sum(terms.values()).backward()
        assert terms["push"].item() == 9 and prediction.grad.isfinite().all()


def test_classes_push_within_themselves():
    """Instance 1 is of class 1, 2 and 5 of class 2, and a few pixels of each say otherwise."""
    prediction, target = example()
    classes = {0: 0, 1: 1, 2: 2, 5: 2}
    semantic = sum(value * (target == key) for key, value in classes.items())
    semantic[:, 3, :2] = 1
    semantic[:, 4, :2] = 255
    loss = WeightedSum(
        {"type": "Discriminative", "args": {"embedding_dim": E, "per_class": True}}, 3, 255
    )
    target_maps = {"instance": target, "semantic": semantic}
    terms = loss({"out": prediction.float()}, target_maps)
    expected = plain(prediction, target, classes=classes)
    assert terms["push"].item() == pytest.approx(expected["push"], rel=1e-5)
    assert terms["pull"].item() == pytest.approx(expected["pull"], rel=1e-5)
    require_targets(loss.reads, ("semantic", "instance"), "Cells")
    with pytest.raises(UserError, match="Discriminative reads the target 'semantic'; Cells gives"):
        require_targets(loss.reads, ("instance",), "Cells")


def test_channels_last_is_the_same():
    prediction, target = example()
    last = prediction.detach().to(memory_format=torch.channels_last).requires_grad_(True)
    for x in (prediction, last):
        sum(build(background="push").terms(x, target).values()).backward()
    torch.testing.assert_close(last.grad, prediction.grad)


def test_pieces_change_nothing(monkeypatch):
    prediction, target = example()
    loss = build(background="push")
    terms = loss.terms(prediction, target)
    monkeypatch.setitem(NUMBERS, "cpu", 50)
    for key, term in loss.terms(prediction, target).items():
        torch.testing.assert_close(term, terms[key], rtol=1e-12, atol=0)
    assert torch.autograd.gradcheck(
        lambda x: sum(loss.terms(x, target).values()), prediction, fast_mode=True
    )


@pytest.mark.parametrize("far", [0, 1000])
def test_a_sum_over_pixels_keeps_both_gradients(far):
    """Far from zero too, where squares lose digits."""
    x, centres = (far + torch.rand(2, E, n, dtype=torch.float64) for n in (50, 4))
    pushed = torch.rand(2, 50) < 0.5
    inputs = (x.requires_grad_(), centres.requires_grad_())
    assert torch.autograd.gradcheck(lambda *a: push_pixels(*a, pushed, 0.6), inputs, atol=1e-4)
    distance = (x[:, :, None] - centres[..., None]).square().sum(1).sqrt()
    expected = ((0.6 - distance).relu().square() * pushed[:, None]).sum(2) / pushed.sum(1)[:, None]
    torch.testing.assert_close(push_pixels(x, centres, pushed, 0.6), expected)
    single = push_pixels(x.float(), centres.float(), pushed, 0.6)
    torch.testing.assert_close(single, expected.float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "args, message",
    [
        ({"embedding_dim": 1}, "embedding_dim is 1; instances keep apart in 2 channels or more"),
        ({"delta_dist": 0.5}, "delta_dist is 0.5 and delta_var 0.5; with delta_dist not above"),
        ({"delta_var": -1}, "delta_var is -1; it must not be negative"),
        ({"delta_var": float("nan")}, "delta_var is nan; a finite number is needed"),
        ({"delta_dist": float("inf")}, "delta_dist is inf; a finite number is needed"),
        ({"aux_weight": float("nan")}, "aux_weight is nan; a finite number is needed"),
        ({"gamma": -1}, "gamma is -1; it must not be negative"),
        ({"norm": 1, "background": "push"}, 'background "push" measures with norm 2'),
        ({"background_weight": -1}, "background_weight is -1; it must not be negative"),
        ({"background_weight": 20, "background": "ignore"}, "is 20, and background is .ignore."),
    ],
)
def test_bad_arguments(args, message):
    with pytest.raises(UserError, match=message):
        build(**args)
