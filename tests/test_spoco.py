"""SPOCO's loss against its formulas, written plainly; each fault of the published one is tried."""

from __future__ import annotations

import inspect
import math
from pathlib import Path

import pytest
import torch
from test_engine import Small
from test_mean_teacher import killed_and_resumed, refuse_difference
from test_train import train_run
from torch import Tensor

from models import MODELS
from trainer import TRAINERS
from utils import checkpoint
from utils.errors import UserError
from utils.losses import LOSSES, WeightedSum, anchors, spoco
from utils.losses.anchors import choose_anchors

E = 3
SCALE = 0.25 / math.log(2)


def make(embedding_dim: int = E, **args):
    args = {"embedding_dim": embedding_dim, **args}
    return LOSSES.build({"type": "Spoco", "args": args}, num_classes=2, ignore_index=-1).double()


def example(batch: int = 2, size=(12, 13)):
    """Embedding near one of five places, the first of them unlabelled; a corner is ignored."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 5, (batch, *size), generator=generator)
    places = torch.randn(5, E, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, batch, E, *size, generator=generator, dtype=torch.float64)
    x, teacher = places[truth].movedim(3, 1) + 0.2 * noise
    target = torch.tensor([0, 0, 4, 7, 9])[truth]
    target[:, :2, :3] = -1
    return x.requires_grad_(True), target, teacher


def soft_mask(pixels: Tensor, centre: Tensor) -> Tensor:
    """(P,) of pixels (P, E) around one centre, by the kernel's definition."""
    distance = (pixels - centre).square().sum(1).sqrt()
    return torch.exp(-(distance**2) / SCALE)


def dice(p: Tensor, t: Tensor) -> float:
    return float(1 - 2 * (p * t).sum() / ((p * p).sum() + (t * t).sum()))


def bce(p: Tensor, t: Tensor) -> float:
    """With p a millionth below 1 where it is 1."""
    p = p.clamp(max=math.exp(-1e-6))
    return float(-(t * p.log() + (1 - t) * (1 - p).log()).mean())


def plain_masks(x: Tensor, target: Tensor, cost=dice) -> float:
    """The instance term, image by image and mask by mask."""
    total = 0.0
    for image, y in zip(x.detach(), target, strict=True):
        pixels, labels = image[:, y >= 0].T, y[y >= 0]
        ids = [i for i in labels.unique() if i > 0]
        masks = [soft_mask(pixels, pixels[labels == i].mean(0)) for i in ids]
        costs = [cost(p, (labels == i).double()) for p, i in zip(masks, ids, strict=True)]
        total += sum(costs) / len(costs)
    return total / len(x)


def test_the_kernel_is_the_threshold_at_delta_var():
    masks = make(kernel_threshold=0.3, delta_var=0.7).masks
    assert math.exp(-(0.7**2) / masks.scale) == pytest.approx(0.3)


@pytest.mark.parametrize("unlabelled", [True, False])
@pytest.mark.parametrize("kind, cost", [("dice", dice), ("bce", bce)])
def test_masks_equal_their_formula(kind, cost, unlabelled):
    x, target, _ = example()
    loss = make(instance_loss=kind, unlabelled=unlabelled)
    value = loss.terms(x, target)["instance"].item()
    assert value == pytest.approx(plain_masks(x, target, cost), rel=1e-9)


def test_an_object_of_ten_pixels_weighs_as_much_as_one_of_a_thousand():
    """The published Dice pooled all masks into one; here that is an option."""
    x = torch.zeros(1, 2, 30, 40, dtype=torch.float64)
    target = torch.ones(1, 30, 40, dtype=torch.int64)
    target[0, 0, :10] = 2
    x[0, 0, 0, :5], x[0, 0, 0, 5:10] = 9, 11  # the small one is torn in two
    each = make(2).terms(x, target)["instance"].item()
    pooled = make(2, pooled=True).terms(x, target)["instance"].item()
    assert each == pytest.approx(plain_masks(x, target)) and each > 0.4
    assert pooled < 0.01


def test_the_contrastive_terms_are_those_of_the_annotated_instances():
    x, target, _ = example()
    terms = make().terms(x, target)
    args = {"embedding_dim": E, "delta_dist": 2.0}
    for background, names in {"push": ("unlabelled", "background"), "ignore": ()}.items():
        other = LOSSES.build(
            {"type": "Discriminative", "args": args | {"background": background}},
            num_classes=2,
            ignore_index=-1,
        ).terms(x, target)
        for name in ("pull", "push", "norm"):
            assert torch.equal(terms[name], other[name])
        if names:
            assert torch.equal(terms[names[0]], other[names[1]])


def test_full_supervision_is_the_loss_without_unlabelled_pixels():
    x, target, teacher = example()
    full = make(unlabelled=False).terms(x, target, teacher)
    assert list(full) == ["pull", "push", "norm", "instance"]
    marked = target.masked_fill(target == 0, 3)  # the same as 3: background is an instance
    sparse = make().terms(x, marked, teacher)
    for name in ("pull", "push", "norm"):
        torch.testing.assert_close(full[name], sparse[name])
    assert sparse["unlabelled"] == 0 and sparse["consistency"] == 0


def test_without_masks_and_unlabelled_pixels_the_contrast_is_left():
    x, target, _ = example()
    assert list(make(unlabelled=False, instance_weight=0).terms(x, target)) == [
        "pull",
        "push",
        "norm",
    ]


def test_a_crop_without_unlabelled_pixels_keeps_its_instances():
    """The published pipeline made the first instance background there."""
    x, target, _ = example()
    inside = target.masked_fill(target == 0, 4)
    for unlabelled in (True, False):
        value = make(unlabelled=unlabelled).terms(x, inside)["instance"]
        assert value.item() == pytest.approx(plain_masks(x, inside))


@pytest.mark.parametrize("kind, cost", [("dice", dice), ("bce", bce), ("affinity", dice)])
def test_consistency_compares_anchor_by_anchor(kind, cost, monkeypatch):
    """The published one compared image rows; and it did not go with affinity."""
    x, target, teacher = example()
    pixels = torch.tensor([[40, 90, 0], [77, 0, 0]])
    chosen = torch.tensor([[True, True, False], [True, False, False]])
    monkeypatch.setattr(spoco, "choose_anchors", lambda *_: (pixels, chosen))
    expected = 0.0
    for i, places in enumerate([[40, 90], [77]]):
        region = (target[i] == 0).flatten()
        views = [view[i].detach().flatten(1).T for view in (x, teacher)]
        costs = [
            cost(*(soft_mask(view[region], view[place]) for view in views)) for place in places
        ]
        expected += sum(costs) / len(costs) / 2
    terms = make(instance_loss=kind, consistency_weight=1).terms(x, target, teacher)
    assert terms["consistency"].item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "weight, term",
    [
        ("consistency_weight", "consistency"),
        ("instance_weight", "instance"),
        ("unlabelled_push", "unlabelled"),
        ("alpha", "pull"),
        ("beta", "push"),
        ("gamma", "norm"),
    ],
)
def test_every_weight_has_its_effect(weight, term):
    """The published consistency weight had none."""
    x, target, teacher = example()
    values = []
    for factor in (1.0, 2.0):
        torch.manual_seed(0)
        values.append(make(**{weight: factor}).terms(x, target, teacher)[term])
    assert values[0] > 0
    torch.testing.assert_close(values[1], 2 * values[0])


def test_no_argument_is_swallowed():
    assert all(p.kind != p.VAR_KEYWORD for p in inspect.signature(spoco.Spoco).parameters.values())
    with pytest.raises(UserError, match="unknown argument 'consistency_term_weight'; did you mean"):
        make(consistency_term_weight=2.0)


def test_every_term_is_a_mean_over_images(monkeypatch):
    """The published consistency was a sum, so that its weight grew with the batch."""
    x, target, teacher = example()
    chosen = torch.tensor([[40], [77]]), torch.tensor([[True], [True]])
    every = iter([tuple(part[i : i + 1] for part in chosen) for i in range(2)])
    monkeypatch.setattr(spoco, "choose_anchors", lambda *_: next(every))
    alone = [make().terms(x[i : i + 1], target[i : i + 1], teacher[i : i + 1]) for i in range(2)]
    monkeypatch.setattr(spoco, "choose_anchors", lambda *_: chosen)
    for name, term in make().terms(x, target, teacher).items():
        torch.testing.assert_close(term, (alone[0][name] + alone[1][name]) / 2)


@pytest.mark.parametrize("kind", ["dice", "bce", "affinity"])
def test_gradient_is_that_of_the_value(kind, monkeypatch):
    monkeypatch.setattr(anchors, "DRAWN", 16)
    x, target, teacher = example(batch=1, size=(5, 6))
    loss = make(instance_loss=kind, gamma=1.0, max_anchors=3)

    def value(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return sum(loss.terms(x, target, teacher).values())

    assert torch.autograd.gradcheck(value, x, fast_mode=True)


def test_random_numbers_are_torchs():
    x, target, teacher = example()
    loss, values = make(max_anchors=1), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        values.append(loss.terms(x, target, teacher)["consistency"].item())
    assert values[0] == values[1] != values[2]


def test_an_image_without_annotated_objects_learns_from_the_teacher():
    x, target, teacher = example()
    terms = make().terms(x, torch.zeros_like(target), teacher)
    sum(terms.values()).backward()
    assert terms["consistency"] > 0 and x.grad.isfinite().all() and x.grad.any()
    assert [name for name, term in terms.items() if term] == ["consistency"]


@pytest.mark.parametrize("kind", ["dice", "bce", "affinity"])
@pytest.mark.parametrize("label", [-1, 0, 5])
def test_finite_with_nothing_or_one_label(kind, label):
    """All ignored, nothing annotated, or one object all over: there may be no anchor at all."""
    x, target, teacher = example()
    terms = make(instance_loss=kind).terms(x, torch.full_like(target, label), teacher)
    sum(terms.values()).backward()
    assert all(term.isfinite() for term in terms.values()) and x.grad.isfinite().all()


def test_the_ignore_label_gives_no_loss_and_no_gradient():
    x, target, teacher = example()
    torch.manual_seed(0)
    sum(make(ignore_label=7).terms(x, target, teacher).values()).backward()
    ignored = (target == 7)[:, None].expand_as(x)
    assert not x.grad[ignored].any() and x.grad[~ignored].any()


def test_pre_training_needs_no_labels_but_a_teacher():
    x, target, teacher = example()
    loss = make(consistency_only=True)
    torch.manual_seed(0)
    terms = loss.terms(x, target, teacher)
    torch.manual_seed(0)
    assert list(terms) == ["consistency"]
    assert terms == loss.terms(x, target.masked_fill(target > 0, 0), teacher)
    with pytest.raises(UserError, match='compares with the output "teacher", which the model'):
        loss.terms(x, target)
    outputs = {"out": x, "aux": x, "teacher": teacher}  # no teacher has an auxiliary head
    assert list(loss(outputs, target)) == ["consistency"]


def test_the_joint_loss_scores_the_teacher_too():
    x, target, teacher = example()
    terms = make(joint_loss=True).terms(x, target, teacher)
    alone = make().terms(teacher, target)
    for name in ("pull", "push", "norm"):
        assert torch.equal(terms[f"teacher_{name}"], alone[name])


def test_the_joint_loss_needs_a_teacher():
    with pytest.raises(UserError, match='joint_loss scores the output "teacher" too'):
        make(joint_loss=True, unlabelled=False).check_outputs({"out"})


def test_no_gradient_reaches_the_teacher():
    x, target, teacher = example()
    sum(make().terms(x, target, teacher.requires_grad_(True)).values()).backward()
    assert teacher.grad is None or not teacher.grad.any()


def test_affinity_by_hand(monkeypatch):
    """Two halves 1 apart of far = 4: unlike 1 - (3/4)^2 across, 0 within; of 3 x 6 pixels at an
    offset of (1, 1), 2 x 5 pairs, 2 of them across: Dice 1 - 2 * 2 u / (2 u^2 + 2)."""
    shifts = torch.ones(9, 2, dtype=torch.int64)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: shifts)
    x = torch.zeros(1, 2, 3, 6, dtype=torch.float64)
    x[..., 3:] = torch.tensor([1.0, 0.0])[None, :, None, None]
    target = torch.ones(1, 3, 6, dtype=torch.int64)
    target[..., 3:] = 2
    value = make(2, instance_loss="affinity").terms(x, target)["instance"].item()
    u = 1 - (3 / 4) ** 2
    assert value == pytest.approx(1 - 4 * u / (2 * u**2 + 2), rel=1e-5)


# anchors


def places(counts: list[int]) -> Tensor:
    """One image whose pixels lie at 0, 10, 20, ... in two channels, as many as asked for."""
    values = [10.0 * i for i, n in enumerate(counts) for _ in range(n)]
    return torch.tensor(values).repeat(2, 1)[None]


def test_anchors_cover_the_region_once():
    """Five groups of equal size: one anchor each, then nothing is left."""
    x, region = places([40] * 5), torch.ones(1, 200, dtype=torch.bool)
    region[0, 160:] = False
    pixels, chosen = choose_anchors((x, x), region, 0.5, 20, 0.05)
    found = pixels[chosen]
    assert sorted((found // 40).tolist()) == [0, 1, 2, 3]


def test_anchors_stop_at_the_share_that_may_be_left_and_at_their_number():
    region = torch.ones(1, 1000, dtype=torch.bool)
    x = places([980, 10, 10])
    for _ in range(5):
        _, chosen = choose_anchors((x, x), region, 0.5, 20, 0.1)
        assert chosen.sum() <= 3 and (chosen.sum() == 1 or not chosen[0, 3:].any())
    torch.manual_seed(0)
    _, chosen = choose_anchors((x, x), region, 0.5, 20, 0.99)
    assert chosen.sum() == 1
    x = places([10] * 100)
    assert choose_anchors((x, x), region, 0.5, 20, 0.05)[1].sum() == 20
    assert choose_anchors((x, x), region, 0.5, 7, 0.05)[1].sum() == 7


@pytest.mark.parametrize("shift", [100, 1000])
def test_where_the_embedding_lies_does_not_matter_to_anchors(shift):
    x, region = places([40] * 5), torch.ones(1, 200, dtype=torch.bool)
    noise = 0.05 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    x = x / 10 + noise + shift
    assert choose_anchors((x, x), region, 0.5, 20, 0.0)[1].sum() == 5


def test_the_loss_chooses_anchors_by_both_networks(monkeypatch):
    views = []

    def seen(both, *rest):
        views.extend(both)
        return choose_anchors(both, *rest)

    monkeypatch.setattr(spoco, "choose_anchors", seen)
    x, target, teacher = example()
    make().terms(x, target, teacher)
    assert len(views) == 2 and torch.equal(views[0], x.flatten(2))
    assert torch.equal(views[1], teacher.flatten(2))


def test_a_pixel_is_covered_by_either_view():
    student, teacher = places([50, 50]), places([100])
    region = torch.ones(1, 100, dtype=torch.bool)
    assert choose_anchors((student, teacher), region, 0.5, 20, 0.0)[1].sum() == 1
    assert choose_anchors((student, student), region, 0.5, 20, 0.0)[1].sum() == 2


def test_anchors_are_spread_evenly(monkeypatch):
    """One anchor of a region in two parts lies in either as often as its size says."""
    monkeypatch.setattr(anchors, "DRAWN", 16)
    region = torch.zeros(400, 100, dtype=torch.bool)
    region[:, :10] = region[:, 70:] = True
    x = torch.zeros(400, 2, 100)
    torch.manual_seed(0)
    pixels, chosen = choose_anchors((x, x), region, 0.5, 1, 0.05)
    assert chosen.all() and region.gather(1, pixels).all()
    assert (pixels < 10).double().mean().item() == pytest.approx(0.25, abs=0.07)


def test_an_empty_region_has_no_anchors():
    region = torch.zeros(2, 100, dtype=torch.bool)
    region[0, 5] = True
    x = torch.rand(2, 3, 100)
    pixels, chosen = choose_anchors((x, x), region, 0.5, 20, 0.05)
    assert chosen.sum(1).tolist() == [1, 0] and pixels[0, 0] == 5


# in a run


@pytest.fixture
def sparse(tiny, monkeypatch) -> dict:
    """A config that trains a mean teacher on instances; the second view is a darker first."""
    monkeypatch.setitem(MODELS._classes, "Small", Small)
    step = TRAINERS["MeanTeacherTrainer"].step
    monkeypatch.setattr(
        TRAINERS["MeanTeacherTrainer"],
        "step",
        lambda self, batch: step(self, batch | {"image2": 0.9 * batch["image"]}),
    )
    tiny["arch"] = {"type": "MeanTeacher", "args": {"model": {"type": "Small", "args": {}}}}
    tiny["train_loader"]["args"]["target"] = "both"
    tiny["loss"] = {"type": "Spoco", "args": {"embedding_dim": 4}}
    tiny["trainer"] |= {"type": "MeanTeacherTrainer", "monitor": "off"}
    tiny |= {"labeler": {"type": "Argmax"}, "metric": {"type": "IoU"}}
    return tiny | {"val_loader": None, "n_gpu": 0}


def test_a_resumed_run_draws_the_same_anchors(sparse, tmp_path, monkeypatch):
    sparse["trainer"] |= {"deterministic": True, "save_every_iterations": 2}
    whole = train_run(sparse, tmp_path)
    sparse["name"] = "broken"
    refuse_difference(whole, killed_and_resumed(sparse, tmp_path, monkeypatch, at=6))


def test_how_often_one_validates_changes_nothing_of_the_training(sparse, tmp_path):
    """val_loss draws anchors too; the last one is the same however many came before."""
    args = {"split": "val", "length": 3, "size": 32, "target": "both"}
    sparse["val_loader"] = {"type": "Shapes", "args": args}
    sparse["trainer"] |= {"deterministic": True, "monitor": "min val_loss"}
    ends = []
    for every in (1, 4):
        sparse["trainer"]["val_every_iterations"] = every
        sparse["name"] = f"every{every}"
        ends.append(checkpoint.load(train_run(sparse, tmp_path) / "last.pth"))
    a, b = (end["state_dict"] for end in ends)
    assert all(torch.equal(value, b[name]) for name, value in a.items())
    assert torch.equal(ends[0]["rng"][0]["torch"], ends[1]["rng"][0]["torch"])


@pytest.mark.parametrize("output", ["out", "embedding"])
@pytest.mark.parametrize(
    "args, way_out", [({}, '"consistency_weight" to 0'), ({"consistency_only": True}, 'Trainer"}$')]
)
def test_consistency_without_a_teacher_is_refused_before_training(
    args, way_out, output, sparse, tmp_path
):
    sparse["arch"] = {"type": "Small", "args": {}}
    sparse["trainer"]["type"] = "Trainer"
    sparse["loss"]["args"] |= args
    sparse["loss"]["output"] = output
    if output != "out":
        sparse["arch"]["type"] = "UNet"
        sparse["arch"]["args"] = {"backbone": "resnet18"}
        sparse["loss"] = ["CrossEntropy", sparse["loss"]]
    message = f'Spoco compares with the output "teacher".*"MeanTeacher".*{way_out}'
    with pytest.raises(UserError, match=message):
        train_run(sparse, tmp_path)
    assert not Path(sparse["trainer"]["save_dir"]).exists()


@pytest.mark.parametrize("args", [{"consistency_weight": 0}, {"unlabelled": False}])
def test_without_consistency_no_teacher_is_needed(args, sparse, tmp_path):
    sparse["arch"] = {"type": "Small", "args": {}}
    sparse["trainer"] |= {"type": "Trainer", "epochs": 1}
    sparse["loss"]["args"] |= args
    assert (train_run(sparse, tmp_path) / "last.pth").exists()


def test_a_teacher_of_a_named_head():
    x, target, teacher = (t.float() if t.is_floating_point() else t for t in example())
    section = {"type": "Spoco", "args": {"embedding_dim": E}}
    torch.manual_seed(0)
    plain = WeightedSum(section, 2, 255)({"out": x, "teacher": teacher}, target)
    torch.manual_seed(0)
    named = WeightedSum(section | {"output": "e"}, 2, 255)({"e": x, "teacher_e": teacher}, target)
    assert {f"e_{name}": term for name, term in plain.items()} == named


@pytest.mark.parametrize(
    "args, message",
    [
        ({"embedding_dim": 1}, "embedding_dim is 1; instances keep apart in 2 channels"),
        ({"delta_dist": 0.4}, "delta_dist is 0.4 and delta_var 0.5"),
        ({"delta_var": 0.0}, "delta_var is 0; soft masks need a radius above zero"),
        ({"kernel_threshold": 1.0}, "kernel_threshold is 1.0; it lies between 0 and 1"),
        ({"max_anchors": 0}, "max_anchors is 0; 1 is the least"),
        ({"uncovered": 1.0}, "uncovered is 1.0; it goes from 0 to just below 1"),
        ({"instance_weight": float("inf")}, "instance_weight is inf; a finite number is needed"),
        ({"delta_dist": float("nan")}, "delta_dist is nan; a finite number is needed"),
        ({"ignore_label": -3}, "ignore_label is -3; what is below 0 is ignored already"),
        ({"ignore_label": 0}, "ignore_label is 0, which is what unlabelled pixels have; leave it"),
        ({"consistency_weight": -1.0}, "consistency_weight is -1.0; it must not be negative"),
    ],
)
def test_bad_arguments(args, message):
    with pytest.raises(UserError, match=message):
        make(**args)
