"""Predictors: every pixel once and only once, probabilities averaged as worked out by hand."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from utils.errors import UserError
from utils.predictors import PREDICTORS, Sliding, Whole
from utils.predictors.command_line import add_predictor_options, chosen_predictor
from utils.predictors.sliding import gaussian, starts

SIZES = [(5, 7), (64, 64), (40, 200), (200, 40), (97, 131), (33, 32)]


class PerPixel(nn.Module):
    """Class scores of each pixel from that pixel alone, so that any tiling gives one answer."""

    stride = 8

    def __init__(self, channels: int = 4):
        super().__init__()
        self.head = nn.Conv2d(3, channels, 1)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, image):
        self.seen.append(tuple(image.shape))
        return {"out": self.head(image), "features": image * 2, "aux": image}


class Spatial(nn.Module):
    """A network that looks around a pixel and is not symmetric."""

    stride = 4

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 3, 5, padding=2)

    def forward(self, image):
        return {"out": 4 * self.head(image)}


@pytest.fixture(autouse=True)
def no_grad():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def build(name: str, **args):
    return PREDICTORS.build({"type": name, "args": args}, scores=("out",))


@pytest.mark.parametrize("name", list(PREDICTORS))
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 4])
def test_contract(name, size, channels):
    """Maps of the image's size, float32, without the auxiliary head, finite."""
    outputs = build(name)(PerPixel(channels), torch.rand(2, 3, *size))
    assert outputs.keys() == {"out", "features"}
    assert outputs["out"].shape == (2, channels, *size)
    assert all(out.dtype == torch.float32 and out.isfinite().all() for out in outputs.values())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blend", ["gaussian", "flat"])
@pytest.mark.parametrize("overlap", [0, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("window", [32, [24, 48]])
def test_windows_of_a_pixelwise_network_make_the_whole(size, blend, overlap, window):
    model, image = PerPixel(), torch.rand(2, 3, *size)
    whole = Whole()(model, image)
    predictor = build("Sliding", window=window, overlap=overlap, blend=blend)
    outputs = predictor(model, image)
    torch.testing.assert_close(outputs["out"], whole["out"].log_softmax(1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(outputs["features"], whole["features"])
    assert torch.equal(outputs["out"].argmax(1), whole["out"].argmax(1))


@pytest.mark.parametrize("length", range(1, 60))
@pytest.mark.parametrize("overlap", [0, 0.25, 0.5, 0.9])
def test_windows_cover_a_side_and_end_with_it(length, overlap):
    window = min(16, length)
    places = starts(length, window, overlap)
    assert places[0] == 0 and places[-1] + window == length
    steps = np.diff(places)
    assert (steps > 0).all() and (steps <= max(1, round(window * (1 - overlap)))).all()


@pytest.mark.parametrize(
    ("size", "batch_size", "batches"),
    [
        ((64, 160), 3, [3, 2, 3, 2]),
        ((160, 64), 3, [2] * 5),
        ((160, 64), 4, [4, 4, 2]),
        ((160, 20), 4, [4, 1]),
        ((20, 160), 4, [4, 1]),
    ],
)
def test_windows_go_through_the_model_in_batches(size, batch_size, batches):
    """Windows of several rows go together where a row has few."""
    model, image = PerPixel(), torch.rand(1, 3, *size)
    predictor = build("Sliding", window=32, overlap=0, batch_size=batch_size)
    outputs = predictor(model, image)
    assert [shape[0] for shape in model.seen] == batches
    expected = Whole()(model, image)["out"].log_softmax(1)
    torch.testing.assert_close(outputs["out"], expected, atol=1e-5, rtol=1e-4)


def test_overlapping_windows_are_averaged_by_weight():
    """Two flat windows of four on a row of six: the two in the middle are the mean of both."""

    class ByWindow(nn.Module):
        stride = 1

        def forward(self, image):
            means = image.mean(dim=(2, 3), keepdim=True).expand(-1, -1, *image.shape[2:])
            return {"out": torch.cat([means, torch.zeros_like(means)], dim=1)}

    image = torch.tensor([0.0, 0, 0, 0, 4, 4]).view(1, 1, 1, 6)
    out = build("Sliding", window=[1, 4], overlap=0.5, blend="flat")(ByWindow(), image)["out"]
    left, right = torch.tensor([0.0, 2.0]).sigmoid().tolist()  # means of 0 0 0 0 and of 0 0 4 4
    expected = [left, left, (left + right) / 2, (left + right) / 2, right, right]
    np.testing.assert_allclose(out[0, 0, 0].exp(), expected, rtol=1e-6)
    np.testing.assert_allclose(out.exp().sum(1), 1, rtol=1e-6)
    out = build("Sliding", window=[1, 4], overlap=0.5)(ByWindow(), image)["out"]
    weights = gaussian(4).tolist()
    third = (weights[2] * left + weights[0] * right) / (weights[2] + weights[0])
    np.testing.assert_allclose(out[0, 0, 0, 2].exp(), third, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 12])
@pytest.mark.parametrize("overlap", [0.25, 0.5, 0.8])
def test_bands_are_the_whole_cut_in_rows(overlap, batch_size):
    model, image = Spatial(), torch.rand(1, 3, 150, 90)
    predictor = Sliding(32, overlap, batch_size=batch_size)
    whole = predictor(model, image)["out"]
    below = 0
    for top, band in predictor.bands(model, lambda a, b: image[:, :, a:b], 150, 90):
        assert top == below and band["out"].shape[2] <= 32 * max(1, batch_size // 3)
        below = top + band["out"].shape[2]
        assert torch.equal(band["out"], whole[:, :, top:below])
    assert below == 150


def test_one_channel_is_a_probability_too():
    model, image = PerPixel(1), torch.rand(1, 3, 50, 60)
    whole = Whole()(model, image)["out"]
    for predictor in (build("Sliding", window=32), build("Flip")):
        torch.testing.assert_close(predictor(model, image)["out"], whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("mean", ["arithmetic", "geometric", "sharpen"])
def test_flipping_a_symmetric_network_changes_nothing(batch, mean):
    model, image = PerPixel(), torch.rand(batch, 3, 24, 31)
    out = build("Flip", mean=mean)(model, image)["out"].softmax(1)
    torch.testing.assert_close(out, Whole()(model, image)["out"].softmax(1))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("mean", ["arithmetic", "geometric", "sharpen"])
def test_the_mean_of_two_views(mean, batch):
    """Against the formula in float64, whatever the batch size."""
    model, image = Spatial(), torch.rand(batch, 3, 16, 20)
    views = [
        F.softmax(model(image)["out"].double(), 1).numpy(),
        F.softmax(model(image.flip(-1))["out"].flip(-1).double(), 1).numpy(),
    ]
    expected = {
        "arithmetic": lambda a, b: (a + b) / 2,
        "geometric": lambda a, b: np.sqrt(a * b),
        "sharpen": lambda a, b: ((np.sqrt(a) + np.sqrt(b)) / 2) ** 2,
    }[mean](*views)
    expected /= expected.sum(1, keepdims=True)
    found = build("Flip", mean=mean)(model, image)["out"].softmax(1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_scales_resize_the_image_and_average_the_probabilities():
    model, image = Spatial(), torch.rand(1, 3, 20, 28)
    large = F.interpolate(image, (30, 42), mode="bilinear")
    back = F.interpolate(
        model(F.pad(large, (0, 2, 0, 2), "replicate"))["out"][..., :30, :42].softmax(1),
        (20, 28),
        mode="bilinear",
    )
    expected = (model(image)["out"].softmax(1) + back) / 2
    found = build("MultiScale", scales=[1, 1.5], flip=False)(model, image)["out"]
    torch.testing.assert_close(found.exp(), expected)


def test_views_around_windows():
    model, image = PerPixel(), torch.rand(1, 3, 70, 50)
    inner = {"type": "Sliding", "args": {"window": 32}}
    out = build("MultiScale", scales=[1.0], predictor=inner)(model, image)["out"]
    assert torch.equal(out.argmax(1), Whole()(model, image)["out"].argmax(1))
    assert max(shape[2] for shape in model.seen[:-1]) == 32


def test_an_embedding_is_averaged_as_it_is():
    predictor = PREDICTORS.build("Flip", scores=())
    model, image = Spatial(), torch.rand(1, 3, 8, 12)
    expected = (model(image)["out"] + model(image.flip(-1))["out"].flip(-1)) / 2
    torch.testing.assert_close(predictor(model, image)["out"], expected)


@pytest.mark.parametrize("name", list(PREDICTORS))
def test_the_models_own_maps_are_not_written_over(name):
    kept = torch.rand(1, 3, 64, 64)

    class Constant(nn.Module):
        def forward(self, image):
            return {"out": kept, "raw": kept}

    before = kept.clone()
    build(name, **({"scales": [1.0]} if name == "MultiScale" else {}))(Constant(), kept)
    assert torch.equal(kept, before)


@pytest.mark.parametrize(
    ("name", "args", "says"),
    [
        ("Sliding", {"window": 0}, "window is 0"),
        ("Sliding", {"overlap": 1}, "overlap is 1; give a share"),
        ("MultiScale", {"scales": []}, "scales are []"),
        ("MultiScale", {"scales": [1, float("nan")]}, "scales are [1, nan]; give one or more"),
        ("MultiScale", {"scales": [float("inf")]}, "scales are [inf]; give one or more numbers"),
        ("MultiScale", {"scales": [1, 0]}, "scales are [1, 0]; give one or more numbers above 0"),
    ],
)
def test_refused(name, args, says):
    with pytest.raises(UserError) as error:
        build(name, **args)
    assert says in str(error.value)


# ---------------------------------------------------------------- on the command line

SLIDING = {"type": "Sliding", "args": {"window": 512, "overlap": 0.5}}


def section(default: dict, *words: str) -> dict:
    parser = argparse.ArgumentParser()
    add_predictor_options(parser)
    return chosen_predictor(parser.parse_args(words), default)


def test_without_options_the_checkpoints_own():
    assert section(SLIDING) == SLIDING


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--mode whole", {"type": "Whole", "args": {}}),
        ("--mode sliding", {"type": "Sliding", "args": {}}),
        ("--window 256", {"type": "Sliding", "args": {"window": 256}}),
        (
            "--mode sliding --window 256,512 --overlap 0.25",
            {"type": "Sliding", "args": {"window": [256, 512], "overlap": 0.25}},
        ),
        (
            "--flip",
            {
                "type": "MultiScale",
                "args": {"scales": [1], "flip": True, "predictor": {"type": "Whole", "args": {}}},
            },
        ),
        ("--mode multiscale", {"type": "MultiScale", "args": {}}),
        (
            "--mode sliding --window 64 --scales 0.75,1",
            {
                "type": "MultiScale",
                "args": {
                    "scales": [0.75, 1],
                    "flip": False,
                    "predictor": {"type": "Sliding", "args": {"window": 64}},
                },
            },
        ),
        (
            "--mode multiscale --window 64 --scales 1,2",
            {
                "type": "MultiScale",
                "args": {
                    "scales": [1, 2],
                    "predictor": {"type": "Sliding", "args": {"window": 64}},
                },
            },
        ),
    ],
)
def test_options_make_a_section(words, expected):
    made = section({"type": "Whole"}, *words.split())
    assert made == expected
    PREDICTORS.build(made)


def test_an_option_changes_the_checkpoints_own_predictor():
    assert section(SLIDING, "--overlap", "0.25")["args"] == {"window": 512, "overlap": 0.25}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--mode hole", "unknown predictor 'hole'; did you mean 'Whole'?"),
        ("--mode whole --window 64", "--window and --overlap go with --mode sliding, not whole"),
        ("--window 1.5", "window"),
    ],
)
def test_options_refused(words, says):
    with pytest.raises(UserError) as error:
        PREDICTORS.build(section({"type": "Whole"}, *words.split()))
    assert says in str(error.value)
