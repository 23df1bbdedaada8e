"""Each loss against its formula, written plainly in float64; gradients by gradcheck."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from utils.errors import UserError
from utils.losses import LOSSES
from utils.losses.class_weights import class_weights_tensor
from utils.losses.lovasz import lovasz_extension
from utils.registry import parameters

C, IGNORE = 4, 255
WEIGHTS = [0.5, 1.0, 2.0, 0.0]
COUNTS = [10, 30, 40, 0]
AUTO = [1 / math.log(1.145), 1 / math.log(1.395), 1 / math.log(1.52), 1 / math.log(1.02)]


def build(name: str, num_classes: int = C, **args):
    spec, counts = {"type": name, "args": args}, COUNTS[:num_classes]
    supplied = {"num_classes": num_classes, "ignore_index": IGNORE, "class_counts": counts}
    return LOSSES.build(spec, **supplied).double()


def example(channels: int = C, classes: int = C, absent: int = 0):
    generator = torch.Generator().manual_seed(1)
    prediction = 2 * torch.randn(
        2, channels, 6, 7, dtype=torch.float64, generator=generator
    ).requires_grad_(True)
    target = torch.randint(0, classes - absent, (2, 6, 7), generator=generator)
    target[:, :2, :3] = IGNORE
    return prediction, target


def pixels(prediction: Tensor, target: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Scores (P, C) and classes (P,) of the pixels that count."""
    valid = (target != IGNORE).numpy()
    x = prediction.detach().movedim(1, -1).numpy()
    return x[valid], target.numpy()[valid]


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def ce(x, y):
    return -np.log(softmax(x)[np.arange(len(y)), y])


def sums(p, y):
    """hit, found, truth of each class."""
    t = np.eye(p.shape[1])[y]
    return (p * t).sum(0), p.sum(0), t.sum(0)


def dice(x, y, s=1.0, everywhere=False):
    hit, found, truth = sums(softmax(x), y)
    return (1 - (2 * hit + s) / (found + truth + s))[everywhere | (truth > 0)].mean()


def dice_global(x, y):
    hit, found, truth = (v.sum() for v in sums(softmax(x), y))
    return 1 - (2 * hit + 1) / (found + truth + 1)


def jaccard(x, y, s=1.0, everywhere=False):
    hit, found, truth = sums(softmax(x), y)
    return (1 - (hit + s) / (found + truth - hit + s))[everywhere | (truth > 0)].mean()


def tversky(x, y, gamma=1.0, alpha=0.3, beta=0.7, s=1.0, everywhere=False):
    hit, found, truth = sums(softmax(x), y)
    index = (hit + s) / (hit + alpha * (found - hit) + beta * (truth - hit) + s)
    return ((1 - index) ** (1 / gamma))[everywhere | (truth > 0)].mean()


def focal(x, y, weights=None):
    cost = ce(x, y)
    value = (1 - np.exp(-cost)) ** 2 * cost
    return (value if weights is None else value * np.array(weights)[y]).mean()


def ohem(x, y, total=84, threshold=0.7, share=0.0625):
    """The 84 pixels of the example, ignored ones too, say how many 1/16 are."""
    cost = np.sort(ce(x, y))[::-1]
    least = cost[max(int(share * total), 1) - 1]
    kept = cost[cost >= min(least, -math.log(threshold))]
    return kept.mean()


def bce(x, y, weights=None):
    p, t = sigmoid(x), np.eye(x.shape[1])[y]
    cost = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    return (cost * (1 if weights is None else np.array(weights))).mean()


def bce_dice(x, y, weights=(1, 1, 1, 1), share=0.8, s=1.0):
    hit, found, truth = sums(sigmoid(x), y)
    each = (2 * hit + s) / (found + truth + s)
    return share * bce(x, y) - (1 - share) * np.log(np.average(each, weights=weights))


def lovasz(x, y, present=True):
    """Sorted errors times the growth of one minus the IoU, a class after the other."""
    p, losses = softmax(x), []
    for c in range(p.shape[1]):
        truth = y == c
        if present and not truth.any():
            continue
        errors = np.abs(truth - p[:, c])
        order = np.argsort(-errors)
        losses.append(errors[order] @ growth(truth[order]))
    return np.mean(losses)


def growth(truth: np.ndarray) -> np.ndarray:
    """Step by step: after k pixels are wrong, IoU = true ones still right / union."""
    total, last, steps = truth.sum(), 0.0, []
    for k in range(1, len(truth) + 1):
        hits = truth[:k].sum()
        jaccard_loss = 1 - (total - hits) / (total + k - hits)
        steps.append(jaccard_loss - last)
        last = jaccard_loss
    return np.array(steps)


def smoothed(x, y, share=0.1):
    """Of the target, a share is spread over all classes."""
    log_p = np.log(softmax(x))
    return -((1 - share) * log_p[np.arange(len(y)), y] + share * log_p.mean(1)).mean()


def weighted_ce(x, y, weights=WEIGHTS):
    """OhemCrossEntropy too, at a threshold of 1: all pixels are hard."""
    weights = np.array(weights)[y]
    return (ce(x, y) * weights).sum() / weights.sum()


CASES = {
    "CrossEntropy smoothed": (smoothed, {"label_smoothing": 0.1}),
    "OhemCrossEntropy weighted": (weighted_ce, {"threshold": 1, "class_weights": WEIGHTS}),
    "OhemCrossEntropy auto": (
        lambda x, y: weighted_ce(x, y, AUTO),
        {"threshold": 1, "class_weights": "auto"},
    ),
    "Focal of 0.5": (
        lambda x, y: ((1 - np.exp(-ce(x, y))) ** 0.5 * ce(x, y)).mean(),
        {"gamma": 0.5},
    ),
    "CrossEntropy": (lambda x, y: ce(x, y).mean(), {}),
    "CrossEntropy weighted": (weighted_ce, {"class_weights": WEIGHTS}),
    "CrossEntropy auto": (lambda x, y: weighted_ce(x, y, AUTO), {"class_weights": "auto"}),
    "OhemCrossEntropy": (ohem, {}),
    "OhemCrossEntropy of few": (
        lambda x, y: ohem(x, y, threshold=0.001, share=0.25),
        {"threshold": 0.001, "min_share": 0.25},
    ),
    "Dice": (dice, {}),
    "Dice all": (lambda x, y: dice(x, y, 0, True), {"classes": "all", "smooth": 0}),
    "Dice global": (dice_global, {"global_sum": True}),
    "CEDice": (lambda x, y: ce(x, y).mean() + dice(x, y), {}),
    "CEDice weighted": (
        lambda x, y: weighted_ce(x, y) + dice(x, y),
        {"class_weights": WEIGHTS},
    ),
    "CEDice auto": (
        lambda x, y: weighted_ce(x, y, AUTO) + dice(x, y),
        {"class_weights": "auto"},
    ),
    "CEDice smooth": (lambda x, y: ce(x, y).mean() + dice(x, y, 5), {"smooth": 5}),
    "CEDice all": (lambda x, y: ce(x, y).mean() + dice(x, y, 1, True), {"classes": "all"}),
    "Jaccard": (jaccard, {}),
    "Jaccard smooth": (lambda x, y: jaccard(x, y, 5), {"smooth": 5}),
    "Jaccard all": (lambda x, y: jaccard(x, y, 1, True), {"classes": "all"}),
    "Tversky": (tversky, {}),
    "Tversky alpha": (lambda x, y: tversky(x, y, alpha=0.9), {"alpha": 0.9}),
    "Tversky beta": (lambda x, y: tversky(x, y, beta=0.2), {"beta": 0.2}),
    "Tversky smooth": (lambda x, y: tversky(x, y, s=5), {"smooth": 5}),
    "Tversky all": (lambda x, y: tversky(x, y, everywhere=True), {"classes": "all"}),
    "Tversky focal": (lambda x, y: tversky(x, y, 4 / 3), {"gamma": 4 / 3}),
    "Focal": (focal, {}),
    "Focal weighted": (lambda x, y: focal(x, y, WEIGHTS), {"class_weights": WEIGHTS}),
    "Focal auto": (lambda x, y: focal(x, y, AUTO), {"class_weights": "auto"}),
    "BCE": (bce, {}),
    "BCE auto": (lambda x, y: bce(x, y, AUTO), {"class_weights": "auto"}),
    "BCE weighted": (lambda x, y: bce(x, y, WEIGHTS), {"class_weights": WEIGHTS}),
    "BCEDice": (bce_dice, {}),
    "BCEDice weighted": (
        lambda x, y: bce_dice(x, y, WEIGHTS),
        {"class_weights": WEIGHTS},
    ),
    "BCEDice auto": (lambda x, y: bce_dice(x, y, AUTO), {"class_weights": "auto"}),
    "BCEDice share": (lambda x, y: bce_dice(x, y, share=0.3), {"bce_weight": 0.3}),
    "BCEDice smooth": (lambda x, y: bce_dice(x, y, s=5), {"smooth": 5}),
    "LovaszSoftmax": (lovasz, {}),
    "LovaszSoftmax all": (lambda x, y: lovasz(x, y, present=False), {"classes": "all"}),
}


@pytest.mark.parametrize("absent", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_equals_its_formula(case, absent):
    formula, args = CASES[case]
    prediction, target = example(absent=absent)
    terms = build(case.split()[0], **args).terms(prediction, target)
    expected = formula(*pixels(prediction, target))
    assert sum(terms.values()).item() == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("case", [*CASES, "Boundary"])
def test_gradient_is_that_of_the_value(case):
    args = CASES[case][1] if case in CASES else {}
    check_gradient(build(case.split()[0], **args), *example())


@pytest.mark.parametrize("name", ["Dice", "Jaccard", "LovaszSoftmax"])
def test_gradient_of_each_image(name):
    check_gradient(build(name, per_image=True), *example())


def check_gradient(loss, prediction, target):
    assert torch.autograd.gradcheck(lambda x: sum(loss.terms(x, target).values()), prediction)


@pytest.mark.parametrize("hinge", [False, True])
@pytest.mark.parametrize("name", ["Dice", "Jaccard", "LovaszSoftmax"])
def test_per_image_is_the_mean_of_the_images(name, hinge):
    """Of which one holds one class alone."""
    prediction, target = example(1, 2) if hinge else example()
    target[0] = target[0].where(target[0] == IGNORE, 1)
    loss = build(name, 2 if hinge else C, per_image=True, one_channel=hinge)
    alone = [sum(loss.terms(prediction[i : i + 1], target[i : i + 1]).values()) for i in range(2)]
    torch.testing.assert_close(
        sum(loss.terms(prediction, target).values()),
        sum(alone) / 2,
    )


APART = (
    "LovaszSoftmax",
    "BCE",
    "BCEDice",
    "Discriminative",
    "Spoco",
)  # one channel means another thing
ONE_CHANNEL = [name for name in LOSSES if name not in APART]


@pytest.mark.parametrize("name", ONE_CHANNEL)
def test_one_channel_is_two_whose_first_is_zero(name):
    prediction, target = example(1, 2)
    one, two = build(name, 2, one_channel=True), build(name, 2)
    assert one.out_channels == 1 and two.out_channels == 2
    both = torch.cat([torch.zeros_like(prediction), prediction], 1)
    torch.testing.assert_close(one.terms(prediction, target), two.terms(both, target))


@pytest.mark.parametrize("name", ["BCE", "BCEDice"])
def test_one_channel_is_the_second_class_alone(name):
    prediction, target = example(1, 2)
    x, y = pixels(prediction, target)
    p, t = sigmoid(x[:, 0]), y
    cost = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    expected = {"bce": cost}
    if name == "BCEDice":
        share = (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
        expected = {"bce": 0.8 * cost, "log_dice": -0.2 * math.log(share)}
    terms = build(name, 2, one_channel=True).terms(prediction, target)
    assert {key: term.item() for key, term in terms.items()} == pytest.approx(expected)


def test_one_channel_takes_two_weights():
    """BCE weighs the pixels by their class; BCEDice the Dice of p and that of 1 - p."""
    prediction, target = example(1, 2)
    x, y = pixels(prediction, target)
    p = sigmoid(x[:, 0])
    cost = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    args = {"one_channel": True, "class_weights": [0.5, 3]}
    found = build("BCE", 2, **args).terms(prediction, target)["bce"]
    assert found.item() == pytest.approx((cost * np.array([0.5, 3])[y]).mean())
    hit, found, truth = sums(np.stack([1 - p, p], 1), y)
    share = ((2 * hit + 1) / (found + truth + 1)) @ [0.5 / 3.5, 3 / 3.5]
    terms = build("BCEDice", 2, **args).terms(prediction, target)
    expected = {"bce": 0.8 * cost.mean(), "log_dice": -0.2 * math.log(share)}
    assert {key: term.item() for key, term in terms.items()} == pytest.approx(expected)


WITH_ONE = [*ONE_CHANNEL, "LovaszSoftmax", "BCE", "BCEDice"]


@pytest.mark.parametrize("name", WITH_ONE)
def test_gradient_on_one_channel(name):
    check_gradient(build(name, 2, one_channel=True), *example(1, 2))


@pytest.mark.parametrize("name", ["BCE", "BCEDice"])
def test_gradient_on_one_channel_with_weights(name):
    check_gradient(build(name, 2, one_channel=True, class_weights=[0.5, 3]), *example(1, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lovasz_hinge(dtype):
    """The same growth at the errors max(0, 1 - score * sign), of the second class."""
    prediction, target = example(1, 2)
    x, y = pixels(prediction, target)
    errors = np.maximum(0, 1 - x[:, 0] * (2 * y - 1))
    order = np.argsort(-errors)
    expected = errors[order] @ growth(y[order] == 1)
    value = build("LovaszSoftmax", 2, one_channel=True).terms(prediction.to(dtype), target)
    assert value["lovasz"].item() == pytest.approx(expected)


@pytest.mark.parametrize("truth", ["mixed", "all", "none"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_lovasz_is_the_extension_by_brute_force(dtype, tied, truth):
    """Of all orders, the decreasing one gives the most: the extension of a submodular function is
    its largest value over all permutations (Lovász, 1983). float32 has a sort of its own."""
    rng = np.random.default_rng(0)
    errors = rng.random((3, 6))
    errors = (errors * 3).round() / 3 if tied else errors  # zeros and ones among them
    true = {"mixed": rng.random((3, 6)) < 0.5, "all": errors >= 0, "none": errors < 0}[truth]
    values, present = lovasz_extension(torch.tensor(errors, dtype=dtype), torch.tensor(true))
    for row in range(3):
        most = max(
            errors[row, list(order)] @ growth(true[row, list(order)])
            for order in itertools.permutations(range(6))
        )
        assert values[row].item() == pytest.approx(most, rel=1e-6)
    assert present.tolist() == true.any(1).tolist()


def test_lovasz_at_the_corners_is_one_minus_the_iou():
    """A map that is right or wrong for certain: the loss of a class is its 1 - IoU."""
    target = torch.tensor([[[0, 0, 1, 1, 1, 2]]])
    found = torch.tensor([[[0, 1, 1, 1, 2, 2]]])
    prediction = 200.0 * torch.nn.functional.one_hot(found, 3).movedim(-1, 1).double()
    loss = build("LovaszSoftmax", 3).terms(prediction, target)["lovasz"]
    assert loss.item() == pytest.approx(1 - np.mean([1 / 2, 2 / 4, 1 / 2]))


def test_lovasz_in_float32_equals_float64():
    """The packed sort of float32 and the plain one of float64."""
    prediction, target = example(absent=1)
    double = build("LovaszSoftmax").terms(prediction, target)["lovasz"]
    single = build("LovaszSoftmax").float().terms(prediction.float(), target)["lovasz"]
    assert single.item() == pytest.approx(double.item(), abs=1e-6)


def test_boundary_by_hand():
    """Squares of 4 on 12, the found one 1 pixel off: outlines 3 wide meet within a window of 5.
    The same square costs nothing; one that is far away costs its whole class."""
    loss = build("Boundary", 2)

    def square(row, column):
        target = torch.zeros(1, 24, 24, dtype=torch.int64)
        target[:, row : row + 4, column : column + 4] = 1
        return target

    def cost(found, truth):
        scores = 100.0 * torch.nn.functional.one_hot(found, 2).movedim(-1, 1).double()
        return loss.terms(scores, truth)["boundary"].item()

    assert cost(square(4, 4), square(4, 4)) == pytest.approx(0, abs=1e-6)
    assert cost(square(5, 5), square(4, 4)) == pytest.approx(0, abs=1e-6)
    assert cost(square(16, 16), square(4, 4)) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("width, tolerance", [(3, 5), (5, 5), (3, 3)])
def test_boundary_equals_its_formula(width, tolerance):
    """Outlines and neighbourhoods by windows, in NumPy, with a void corner."""
    prediction, target = example()

    def grow(p, side):
        reach = side // 2
        padded = np.pad(p, ((0, 0), (0, 0), (reach, reach), (reach, reach)), constant_values=-9)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(2, 3))
        return windows.max((4, 5))

    valid = (target != IGNORE).numpy()[:, None]
    p = prediction.detach().softmax(1).numpy() * valid
    t = np.moveaxis(np.eye(C)[np.where(valid[:, 0], target.numpy(), 0)], -1, 1) * valid
    inside = 1 - grow(1.0 - valid, width)
    found, true = ((grow(1 - m, width) - (1 - m)) * inside for m in (p, t))
    sums = (0, 2, 3)
    precision = (found * grow(true, tolerance)).sum(sums) / found.sum(sums)
    recall = (true * grow(found, tolerance)).sum(sums) / true.sum(sums)
    f1 = 2 * precision * recall / (precision + recall)
    value = build("Boundary", width=width, tolerance=tolerance).terms(prediction, target)[
        "boundary"
    ]
    assert value.item() == pytest.approx((1 - f1).mean())


@pytest.mark.parametrize("name", ["Dice", "Jaccard", "Tversky", "BCEDice"])
def test_large_images_in_float32_equal_float64(name):
    """One class of two million sure pixels: a plain float32 sum is off in the second digit."""
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randn(1, 2, 1024, 2048, generator=generator)
    prediction[:, 0] += 4
    target = torch.zeros(1, 1024, 2048, dtype=torch.int64)
    single = sum(build(name, 2).float().terms(prediction, target).values())
    double = sum(build(name, 2).terms(prediction.double(), target).values())
    assert single.item() == pytest.approx(double.item(), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("classes, ignore", [(2, 255), (19, -1), (182, 255)])
@pytest.mark.parametrize("name", LOSSES)
def test_finite_at_any_score_and_with_any_target(name, classes, ignore):
    """Scores of 1 and of a million; random, one pixel, one class."""
    loss = LOSSES.build(name, num_classes=classes, ignore_index=ignore)
    generator = torch.Generator().manual_seed(0)
    for scale in (1, 1e6):
        for kind in range(3):
            x = scale * torch.randn(1, loss.out_channels, 9, 8, generator=generator)
            x.requires_grad_(True)
            y = torch.randint(0, classes, (1, 9, 8), generator=generator)
            if kind == 1:
                y[:, 1:] = y[:, :, 1:] = ignore
            if kind == 2:
                y[:] = 1
            value = sum(loss({"out": x}, y).values())
            value.backward()
            assert torch.isfinite(value) and torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    "alias, formula",
    [
        ("CrossEntropyLoss2d", lambda x, y: ce(x, y).mean()),
        ("DiceLoss", dice_global),
        ("CE_DiceLoss", lambda x, y: ce(x, y).mean() + dice_global(x, y)),
        ("FocalLoss", focal),
    ],
)
def test_pytorch_segmentations_names(alias, formula):
    prediction, target = example()
    value = sum(build(alias).terms(prediction, target).values())
    assert value.item() == pytest.approx(formula(*pixels(prediction, target)))


def test_weights_from_frequencies():
    """Shares 1/8, 3/8, 1/2 and none."""
    assert class_weights_tensor("enet", 4, COUNTS).tolist() == pytest.approx(AUTO)
    assert class_weights_tensor("inverse", 4, COUNTS).tolist() == pytest.approx([2, 2 / 3, 0.5, 0])
    assert class_weights_tensor("median", 4, COUNTS).tolist() == pytest.approx([3, 1, 0.75, 0])


WEIGHTED = [name for name in LOSSES if "class_weights" in parameters(LOSSES[name])]


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize(
    "weights, message",
    [
        ([0, 0, 0, 0], "class_weights sum to nothing; one must be above zero"),
        ([1, 1, 1, 1e400], "class_weights holds inf; weights are finite numbers in float32"),
        ([1, 1, 1, 1e39], "class_weights holds 1e.39; weights are finite"),
        ([1, 1, 1, math.nan], "class_weights holds nan; weights are finite"),
    ],
)
def test_weights_that_cannot_train(name, weights, message):
    with pytest.raises(UserError, match=f"{name}: {message}"):
        build(name, class_weights=weights)


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_of_a_rule_need_the_counts(name):
    spec = {"type": name, "args": {"class_weights": "auto"}}
    with pytest.raises(UserError, match=f"{name}: class_weights is 'auto', which needs class_cou"):
        LOSSES.build(spec, num_classes=C, ignore_index=IGNORE)


@pytest.mark.parametrize("one_channel", [False, True])
@pytest.mark.parametrize("name", WITH_ONE)
def test_a_label_that_is_no_class_is_refused(name, one_channel):
    """Two classes, of which neither is 7; all say it in the same words."""
    loss = build(name, 2, one_channel=one_channel).float()
    x = torch.zeros(1, loss.out_channels, 4, 5)
    for stray in (7, -1, 2**40):
        target = torch.zeros(1, 4, 5, dtype=torch.int64)
        target[0, 0, :3], target[0, 1] = stray, IGNORE
        expected = rf"3 pixels .* 2 classes, 0 to 1, nor ignored \(255\), such as {stray}; train.py"
        with pytest.raises(UserError, match=expected):
            loss({"out": x}, target)


def test_a_wrong_auxiliary_output_is_named():
    loss, right = build("CrossEntropy"), torch.zeros(1, C, 4, 5)
    target = torch.zeros(1, 4, 5, dtype=torch.int64)
    for wrong in (torch.zeros(1, C + 1, 4, 5), torch.zeros(1, C, 4, 6)):
        with pytest.raises(ValueError, match=r"the output 'aux' is \(1, ., 4, .\), the target"):
            loss({"out": right, "aux": wrong}, target)


@pytest.mark.parametrize(
    "name, args, message",
    [
        ("Dice", {"smooth": -1}, "smooth is -1; it must not be negative"),
        ("Dice", {"one_channel": True}, "one_channel is for two classes; the data set has 4"),
        ("Focal", {"gamma": -1}, "gamma is -1; it must not be negative"),
        ("Focal", {"class_weights": [1]}, "class_weights has 1 numbers for 4 classes"),
        ("Focal", {"class_weights": "autoo"}, "class_weights is 'autoo'; did you mean 'auto'"),
        ("OhemCrossEntropy", {"threshold": 0}, "threshold is 0; it is a probability above 0"),
        ("OhemCrossEntropy", {"min_share": 2}, "min_share is 2; it goes from 0 to 1"),
        ("Tversky", {"beta": -1}, "beta is -1; it must not be negative"),
        ("Tversky", {"gamma": 0}, "gamma is 0; it must be above zero"),
        ("BCEDice", {"bce_weight": 2}, "bce_weight is 2; it goes from 0 to 1"),
        ("BCEDice", {"class_weights": [0, 0, 0, 0]}, "class_weights sum to nothing"),
        ("Boundary", {"width": 4}, "width is 4; a window's side is odd and at least 3"),
    ],
)
def test_bad_arguments(name, args, message):
    with pytest.raises(UserError, match=message):
        build(name, **args)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "prediction, target, message",
    [
        ((2, C + 1, 6, 7), (2, 6, 7), r"is \(2, 5, 6, 7\), .* \(B, C, H, W\) of {} channels"),
        ((2, C), (2,), r"is \(2, 4\), .* \(B, C, H, W\) of {} channels"),
        ((2, C, 6, 7), (2, 6, 8), r"target \(2, 6, 8\); a target \(B, H, W\) of"),
        ((2, C, 6, 7), (2, 1, 6, 7), r"target \(2, 1, 6, 7\); a target \(B, H, W\) of"),
    ],
)
def test_wrong_shapes_say_what_came_and_what_is_needed(name, prediction, target, message):
    loss = build(name)
    if "{}" not in message:
        prediction = (2, loss.out_channels, 6, 7)
    with pytest.raises(ValueError, match=message.format(loss.out_channels)):
        loss({"out": torch.zeros(prediction)}, torch.zeros(target, dtype=torch.int64))


@pytest.mark.parametrize("name", LOSSES)
def test_ignore_index_is_no_class(name):
    with pytest.raises(UserError, match="ignore_index is 3, which is a class"):
        LOSSES.build(name, num_classes=C, ignore_index=3)
