"""What every loss promises, over the registry; values of single ones."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
import torch.nn.functional as F

from base.base_loss import BaseLoss
from utils.errors import UserError
from utils.losses import LOSSES, WeightedSum
from utils.losses.class_weights import class_weights_tensor
from utils.losses.weighted_sum import loss_sections
from utils.targets import require_targets

C, IGNORE = 5, 255


def build(name: str, **args):
    return LOSSES.build({"type": name, "args": args}, num_classes=C, ignore_index=IGNORE)


def example(loss: BaseLoss, dtype=torch.float32):
    torch.manual_seed(0)
    prediction = torch.randn(2, loss.out_channels, 8, 9, dtype=dtype, requires_grad=True)
    target = torch.randint(0, C, (2, 8, 9))
    target[:, :3] = IGNORE
    return prediction, target


def total(loss, prediction, target):
    return sum(loss({"out": prediction}, target).values())


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_give_no_gradient_and_change_nothing(name):
    loss = build(name)
    prediction, target = example(loss)
    value = total(loss, prediction, target)
    value.backward()
    assert not prediction.grad[:, :, :3].any() and prediction.grad[:, :, 3:].any()
    changed = prediction.detach().clone()
    changed[:, :, :3] += 100
    assert torch.equal(total(loss, changed, target), value)


@pytest.mark.parametrize("name", LOSSES)
def test_all_ignored_is_zero_and_finite(name):
    loss = build(name)
    prediction, target = example(loss)
    value = total(loss, prediction, torch.full_like(target, IGNORE))
    value.backward()
    assert value == 0 and torch.isfinite(prediction.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_float32_inside_autocast(name):
    loss = build(name)
    prediction, target = example(loss)
    low = prediction.detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        terms = loss({"out": low}, target)
    assert all(term.dtype == torch.float32 for term in terms.values())
    assert terms == loss({"out": low.float()}, target)


@pytest.mark.parametrize("name", LOSSES)
def test_the_auxiliary_head_is_weighed(name):
    loss = build(name, aux_weight=0.25)
    prediction, target = example(loss)
    terms = loss({"out": prediction, "aux": prediction}, target)
    for key in [key for key in terms if not key.startswith("aux_")]:
        torch.testing.assert_close(terms[f"aux_{key}"], 0.25 * terms[key])


@pytest.mark.parametrize("name", LOSSES)
def test_its_defaults_are_registered(name):
    from utils.clustering import LABELERS
    from utils.metrics import METRICS
    from utils.predictors import PREDICTORS

    loss = LOSSES[name]
    assert set(loss.tells_labeler) <= set(inspect.signature(loss).parameters)
    assert loss.labeler["type"] in LABELERS
    assert loss.metric["type"] in METRICS
    assert loss.predictor["type"] in PREDICTORS


@pytest.mark.parametrize("weights", [None, [0.5, 1, 2, 0, 3]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs(weights, smoothing):
    loss = build("CrossEntropy", class_weights=weights, label_smoothing=smoothing)
    prediction, target = example(loss)
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float32)
    expected = F.cross_entropy(
        prediction, target, weight, ignore_index=IGNORE, label_smoothing=smoothing
    )
    torch.testing.assert_close(total(loss, prediction, target), expected)


def test_cross_entropy_by_hand():
    """Two pixels: p(y) = 1/2 and 1/4, so the mean of ln 2 and ln 4."""
    loss = LOSSES.build("CrossEntropy", num_classes=2, ignore_index=IGNORE)
    prediction = torch.tensor([[[[0.0, math.log(3)]], [[0.0, 0.0]]]])
    value = total(loss, prediction, torch.tensor([[[0, 1]]]))
    assert value.item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_auto_weights_are_enets():
    """Frequencies 1/4 and 3/4: 1 / ln(1.27) and 1 / ln(1.77)."""
    weights = class_weights_tensor("auto", 2, [10, 30])
    assert weights.tolist() == pytest.approx([1 / math.log(1.27), 1 / math.log(1.77)])


@pytest.mark.parametrize(
    "args, message",
    [
        ({"class_weights": [1, 2]}, "class_weights has 2 numbers for 5 classes"),
        ({"class_weights": [1, 2, 3, 4, -1]}, "weights are not negative"),
        ({"label_smoothing": 2}, "label_smoothing is 2; it goes from 0 to 1"),
        ({"aux_weight": -1}, "aux_weight is -1; it must not be negative"),
        ({"class_weights": "medan"}, "class_weights is 'medan'; did you mean 'median'"),
    ],
)
def test_bad_arguments(args, message):
    with pytest.raises(UserError, match=message):
        build("CrossEntropy", **args)


@pytest.mark.parametrize(
    "name, args, message",
    [
        ("Dice", {"classes": "presnt"}, "Dice: classes is 'presnt'; did you mean 'present'"),
        ("Spoco", {"instance_loss": "x"}, "instance_loss is 'x'; known are affinity, bce, dice"),
        ("Discriminative", {"norm": 3}, "Discriminative: norm is 3; known are 1, 2"),
    ],
)
def test_a_value_that_is_not_listed(name, args, message):
    with pytest.raises(UserError, match=message):
        build(name, **args)


def test_several_losses_on_one_head_add_up():
    sections = ["CrossEntropy", {"type": "CrossEntropy", "weight": 3}]
    loss = WeightedSum(sections, C, IGNORE)
    assert loss.out_channels == C
    prediction, target = example(loss.losses[0])
    terms = loss({"out": prediction}, target)
    assert list(terms) == ["ce", "ce#2"]
    torch.testing.assert_close(terms["ce#2"], 3 * terms["ce"])


def test_two_heads_two_targets():
    sections = [
        {"type": "CrossEntropy", "output": "semantic", "target": "semantic"},
        {"type": "CrossEntropy", "output": "parts", "target": "instance", "weight": 0.5},
    ]
    loss = WeightedSum(sections, C, IGNORE)
    assert loss.out_channels == {"semantic": C, "parts": C}
    prediction, target = example(loss.losses[0])
    outputs = {"semantic": prediction, "parts": prediction}
    ignored = torch.where(target == IGNORE, -1, target)
    terms = loss(outputs, {"semantic": target, "instance": ignored})
    assert list(terms) == ["semantic_ce", "parts_ce"]
    torch.testing.assert_close(terms["parts_ce"], 0.5 * terms["semantic_ce"])
    alone = WeightedSum("CrossEntropy", C, IGNORE)({"out": prediction}, {"semantic": target})
    torch.testing.assert_close(alone["ce"], terms["semantic_ce"])


def test_a_target_the_data_set_lacks():
    with pytest.raises(UserError, match="reads the target 'semantic'; Cells gives 'instance'"):
        require_targets(loss_sections("CrossEntropy"), ("instance",), "Cells")
