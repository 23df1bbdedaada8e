"""Post-processing on maps small enough to draw."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import torch
from scipy import ndimage

from utils.errors import UserError
from utils.postprocess import POSTPROCESSORS
from utils.postprocess.command_line import add_postprocess_option, chosen_postprocess
from utils.scoring import make_postprocess

NAMES = ["ground", "leaf", "stem"]
NEEDED = {
    "RemoveSmall": {"min_size": 3},
    "FillHoles": {"max_size": 3},
    "Threshold": {"thresholds": {"leaf": 0.5}},
}


def drawn(*rows: str) -> torch.Tensor:
    """A label map (1, H, W) from digits, "." for 0."""
    return torch.tensor([[[int(c) for c in row.replace(".", "0")] for row in rows]])


def apply(name: str, labels: torch.Tensor, **args) -> torch.Tensor:
    step = POSTPROCESSORS.build({"type": name, "args": args}, class_names=NAMES)
    return step(labels, {})


def noise(seed: int = 0, size: tuple[int, int, int] = (2, 40, 50)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 3, size))


@pytest.mark.parametrize("name", list(POSTPROCESSORS))
def test_contract(name):
    """int64 of the same shape; each image by itself; the input stays as it was."""
    torch.manual_seed(0)
    labels, scores = noise(), torch.rand(2, 3, 40, 50)
    before = labels.clone()
    section = {"type": name, "args": NEEDED.get(name, {})}
    step = POSTPROCESSORS.build(section, class_names=NAMES)
    result = step(labels, {"out": scores})
    assert result.dtype == torch.int64 and result.shape == labels.shape
    assert torch.equal(labels, before)
    for index in range(2):
        one = slice(index, index + 1)
        assert torch.equal(step(labels[one], {"out": scores[one]}), result[one])
    empty = torch.zeros(1, 4, 5, dtype=torch.int64)
    assert torch.equal(step(empty, {"out": torch.zeros(1, 3, 4, 5)}), empty)


SPECKS = drawn(
    "11111....",
    "1...1.2..",
    "1.2.1....",
    "1...1..22",
    "11111..22",
)


def test_remove_small_counts_pixels():
    """Areas: the frame of 1 has 16, each lone 2 has 1, the square of 2 has 4, the inside of 0 8."""
    expected = drawn("11111....", "1...1....", "1...1....", "1...1..22", "11111..22")
    assert torch.equal(apply("RemoveSmall", SPECKS, min_size=4), expected)
    assert torch.equal(apply("RemoveSmall", SPECKS, min_size=1), SPECKS)
    expected = drawn("11111....", "1...1....", "1...1....", "1...1....", "11111....")
    assert torch.equal(apply("RemoveSmall", SPECKS, min_size=5, classes=["stem"]), expected)
    assert torch.equal(apply("DropClusters", SPECKS, min_size=5, classes=["stem"]), expected)


def test_remove_small_takes_what_surrounds_the_whole_region():
    """The inside of the frame, 8 of 0 and a 2, is one region that 1 surrounds."""
    expected = drawn("11111....", "11111....", "11111....", "11111....", "11111....")
    assert torch.equal(apply("RemoveSmall", SPECKS, min_size=9), expected)


def test_remove_small_to_a_class():
    labels = drawn("11111", "12111", "11111")
    assert apply("RemoveSmall", labels, min_size=2, to="ground")[0, 1, 1] == 0
    assert apply("RemoveSmall", labels, min_size=2)[0, 1, 1] == 1
    assert torch.equal(apply("RemoveSmall", labels, min_size=2, to=2), labels)


def test_a_diagonal_is_connected():
    labels = drawn("1...", ".1..", "..1.", "....")
    assert torch.equal(apply("RemoveSmall", labels, min_size=3, classes=[1]), labels)
    assert not apply("RemoveSmall", labels, min_size=4, classes=[1]).any()


def test_where_nothing_is_large_enough_nothing_changes():
    assert torch.equal(apply("RemoveSmall", SPECKS, min_size=100), SPECKS)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("min_size", [2, 5, 20])
def test_nothing_small_is_left(seed, min_size):
    labels = noise(seed, (1, 60, 70))
    result = apply("RemoveSmall", labels, min_size=min_size)[0].numpy()
    for label in range(3):
        parts, count = ndimage.label(result == label, np.ones((3, 3)))
        assert all((parts == part).sum() >= min_size for part in range(1, count + 1))
    again = apply("RemoveSmall", torch.from_numpy(result)[None], min_size=min_size)[0]
    assert np.array_equal(again, result)


def test_fill_holes():
    """The 0 inside has 8 pixels; a 2 in it is filled with it, for the hole of 1 is all of them."""
    filled = drawn("11111....", "11111.2..", "11111....", "11111..22", "11111..22")
    assert torch.equal(apply("FillHoles", SPECKS, max_size=10, classes=["leaf"]), filled)
    assert torch.equal(apply("FillHoles", SPECKS, max_size=9, classes=["leaf"]), SPECKS)


def test_a_bay_is_no_hole_and_corners_do_not_leak():
    bay = drawn("111", "1.1", "1.1")
    assert torch.equal(apply("FillHoles", bay, max_size=9), bay)
    corner = drawn("11..", "1.1.", ".11.", "....")
    assert apply("FillHoles", corner, max_size=2, classes=[1])[0, 1, 1] == 1


def test_keep_largest():
    labels = drawn("11.2", "11.2", "...2", "1..2", "....")
    expected = drawn("11.2", "11.2", "...2", "...2", "....")
    assert torch.equal(apply("KeepLargest", labels), expected)
    assert torch.equal(apply("KeepLargest", labels, classes=["stem"]), labels)


def test_threshold_takes_the_next_class_that_is_sure_enough():
    """p of (ground, leaf, stem) at three pixels; leaf needs 0.6, stem 0.5."""
    p = torch.tensor([[0.1, 0.7, 0.2], [0.3, 0.5, 0.2], [0.0, 0.45, 0.55]])
    outputs = {"out": p.log().T[None, :, None]}  # (1, 3, 1, 3)
    args = {"thresholds": {"leaf": 0.6, "stem": 0.5}}
    step = POSTPROCESSORS.build({"type": "Threshold", "args": args}, class_names=NAMES)
    assert step(outputs["out"].argmax(1), outputs).tolist() == [[[1, 0, 2]]]
    args = {"thresholds": {"ground": 0.9, "leaf": 0.9, "stem": 0.9}, "otherwise": "stem"}
    step = POSTPROCESSORS.build({"type": "Threshold", "args": args}, class_names=NAMES)
    assert step(outputs["out"].argmax(1), outputs).tolist() == [[[2, 2, 2]]]


def test_threshold_of_one_channel():
    """Class 1 where its sigmoid reaches 0.7: a logit of 0.8473."""
    outputs = {"out": torch.tensor([0.5, 0.84, 0.85]).view(1, 1, 1, 3)}
    args = {"thresholds": {"road": 0.7}}
    step = POSTPROCESSORS.build({"type": "Threshold", "args": args}, class_names=["no", "road"])
    assert step(torch.ones(1, 1, 3, dtype=torch.int64), outputs).tolist() == [[[0, 0, 1]]]


def test_smoothing_takes_specks_and_keeps_straight_lines():
    labels = drawn("000111", "000111", "010111", "000101", "000111", "000111")
    expected = drawn(*["000111"] * 6)
    assert torch.equal(apply("SmoothBoundary", labels, radius=2), expected)


def test_steps_run_in_order():
    sections = [
        {"type": "FillHoles", "args": {"max_size": 10, "classes": ["leaf"]}},
        {"type": "RemoveSmall", "args": {"min_size": 4}},
    ]
    result = make_postprocess(sections, NAMES, "semantic", ("out",))(SPECKS, {})
    assert torch.equal(
        result, drawn("11111....", "11111....", "11111....", "11111..22", "11111..22")
    )
    assert make_postprocess([], NAMES, "semantic", ("out",)) is None


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("RemoveSmall", {"min_size": 3, "classes": ["leef"]}, "no class 'leef'; did you mean"),
        ("KeepLargest", {"to": "sky"}, "no class 'sky'"),
        ("RemoveSmall", {"min_size": 3, "to": 99}, "to is 99; the classes are 0 to 2"),
        ("RemoveSmall", {"min_size": 3, "to": -1}, "to is -1; the classes are 0 to 2"),
        ("FillHoles", {"max_size": 3, "classes": [1, 3]}, "classes is 3; the classes are 0 to 2"),
        ("Threshold", {"thresholds": {"leaf": 50}}, "threshold of 'leaf' is 50; give 0 to 1"),
        ("Threshold", {"thresholds": {}}, "thresholds is empty; give a probability"),
        (
            "Threshold",
            {"thresholds": {"leaf": 0.5}, "otherwise": 3},
            "otherwise is 3; the classes are 0 to 2",
        ),
        (
            "Threshold",
            {"thresholds": {"leaf": 0.5}, "output": "embedding"},
            "output is 'embedding'; the outputs with class scores are 'out'",
        ),
    ],
)
def test_refused(name, args, says):
    with pytest.raises(UserError) as error:
        apply(name, SPECKS, **args)
    assert says in str(error.value)


# ---------------------------------------------------------------- objects


def of_objects(name: str, scores: tuple[str, ...] = (), **args):
    return make_postprocess([{"type": name, "args": args}], NAMES, "instance", scores)


def test_small_objects_are_removed_by_their_size():
    """Two of three objects, to what surrounds them or to the background."""
    labels = drawn("11...3", "11...3", "...2..")
    expected = drawn("11....", "11....", "......")
    for args in ({}, {"to": 0}):
        assert torch.equal(of_objects("RemoveSmall", min_size=3, **args)(labels, {}), expected)


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("RemoveSmall", {"min_size": 3, "classes": ["leaf"]}, "classes is 'leaf', but the labels"),
        ("KeepLargest", {"classes": [2]}, "classes is 2, but the labels are objects"),
        ("KeepLargest", {"to": "stem"}, "to is 'stem', but the labels are objects"),
        ("Threshold", {"thresholds": {"leaf": 0.5}}, "the outputs with class scores are none"),
        (
            "Threshold",
            {"thresholds": {"leaf": 0.5}, "output": "semantic", "scores": ("semantic",)},
            "thresholds is 'leaf', but the labels are objects",
        ),
    ],
)
def test_classes_of_objects_are_refused(name, args, says):
    with pytest.raises(UserError) as error:
        of_objects(name, **args)
    assert says in str(error.value)


# ---------------------------------------------------------------- on the command line


def sections(*words: str) -> list[dict]:
    parser = argparse.ArgumentParser()
    add_postprocess_option(parser)
    return chosen_postprocess(parser.parse_args(words).postprocess, [{"type": "KeepLargest"}])


def test_words_make_sections():
    assert sections() == [{"type": "KeepLargest"}]
    assert sections("--postprocess") == []
    words = ("RemoveSmall", "min_size=100", 'classes=["leaf"]', "to=ground", "SmoothBoundary")
    assert sections("--postprocess", *words) == [
        {"type": "RemoveSmall", "args": {"min_size": 100, "classes": ["leaf"], "to": "ground"}},
        {"type": "SmoothBoundary", "args": {}},
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("min_size=3", "name a step first"),
        ("RemoveSmal min_size=3", "did you mean 'RemoveSmall'?"),
        ("RemoveSmall", "'min_size' is missing"),
        ("RemoveSmall min_size=0", "min_size"),
        ("RemoveSmall min_size=3 min_siz=4", "unknown key 'min_siz'; did you mean 'min_size'?"),
    ],
)
def test_words_refused(words, says):
    with pytest.raises(UserError) as error:
        sections("--postprocess", *words.split())
    assert says in str(error.value)
