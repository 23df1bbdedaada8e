"""Changes of colour against torchvision and by hand; choices, and second views."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from dataloaders import TRANSFORMS
from dataloaders.transforms import Compose, colour, weather
from utils.errors import UserError
from utils.sample import Sample


def build(name, **args):
    return TRANSFORMS.build({"type": name, "args": args})


def sample(dtype=np.uint8, height=24, width=32) -> Sample:
    full = np.iinfo(dtype).max
    image = np.random.default_rng(0).integers(0, full + 1, (height, width, 3), dtype=dtype)
    return Sample("s", image, {}, {"image": [0.0]})


def changed(transform, one=None, seed=0) -> np.ndarray:
    return transform(one or sample(), np.random.default_rng(seed)).image


@pytest.mark.parametrize("dtype, tolerance", [(np.uint8, 2), (np.uint16, 40)])
@pytest.mark.parametrize(
    "ours, theirs, factors",
    [
        (colour.brighten, tv.adjust_brightness, [0.0, 0.6, 1.4]),
        (colour.stretch_contrast, tv.adjust_contrast, [0.0, 0.6, 1.4]),
        (colour.saturate, tv.adjust_saturation, [0.0, 0.6, 1.4]),
        (colour.turn_hue, tv.adjust_hue, [-0.3, 0.1, 0.5]),
    ],
)
def test_jitter_is_torchvisions(ours, theirs, factors, dtype, tolerance):
    """Theirs in float64 (hue in float32), so that only the rounding at the end is compared."""
    image, full = sample(dtype).image, np.iinfo(dtype).max
    tensor = torch.from_numpy(image.astype(np.float32) / full).permute(2, 0, 1)
    for factor in factors:
        expected = theirs(tensor, factor).permute(1, 2, 0).numpy() * full
        assert np.abs(ours(image, factor).astype(float) - expected).max() <= tolerance


def test_jitter_draws_all_four():
    """Each strength alone changes the image, and none leaves it."""
    none = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)
    assert np.array_equal(changed(build("ColorJitter", **none)), sample().image)
    for name in none:
        assert not np.array_equal(
            changed(build("ColorJitter", **none | {name: 0.3})), sample().image
        )


def test_gamma_by_hand():
    one = sample()
    one.image[0, 0] = [0, 64, 255]
    found = changed(build("Gamma", gamma=[2.0, 2.0]), one)
    assert found[0, 0].tolist() == [0, 16, 255], "64 / 255 squared is 16.06 / 255"


def test_brightness_contrast_by_hand():
    transform = build("BrightnessContrast", brightness=0.0, contrast=0.0)
    assert np.array_equal(changed(transform), sample().image)
    found = colour.pointwise(np.array([[[0, 100, 255]]], np.uint8), lambda v: (v - 0.5) * 2 + 0.5)
    assert found.ravel().tolist() == [0, 72, 255], "2 * 100 - 127.5 = 72.5, rounded to even"


def test_grey_by_hand():
    one = sample()
    one.image[0, 0] = [200, 100, 50]
    found = changed(build("Grayscale", p=1.0), one)
    assert found[0, 0].tolist() == [124, 124, 124], "0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2"
    assert np.array_equal(changed(build("Grayscale", p=0.0)), sample().image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_noise_has_the_strength_asked_for(dtype):
    full = np.iinfo(dtype).max
    one = Sample("s", np.full((200, 200, 3), full // 2, dtype), {}, {})
    found = changed(build("Noise", std=[0.02, 0.02]), one).astype(float) / full
    assert found.std() == pytest.approx(0.02, rel=0.05)
    assert found.mean() == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "name, brighter", [("Fog", True), ("Snow", True), ("SunFlare", True), ("Shadow", False)]
)
def test_weather_changes_light_one_way(name, brighter, dtype):
    one = sample(dtype)
    one.image = np.full((60, 80, 3), np.iinfo(dtype).max // 4, dtype)
    before = one.image.astype(float)
    difference = changed(build(name), one).astype(float) - before
    assert np.abs(difference).max() > 0
    assert (difference >= 0).all() if brighter else (difference <= 0).all()


def test_rain_darkens_and_draws_streaks():
    one = Sample("s", np.full((60, 80, 3), 100, np.uint8), {}, {})
    found = changed(build("Rain"), one)
    assert (found == 85).mean() > 0.5, "15 % of the light is gone between the streaks"
    assert (found > 100).mean() > 0.01


def test_snow_by_hand():
    """Lightness 40 of 255 becomes 80, half light stays: below a third of full scale it snows."""
    one = Sample("s", np.array([[[30, 40, 50], [120, 130, 140]]], np.uint8), {}, {})
    found = changed(build("Snow", amount=[0.0, 0.0], brightness=2.0), one)
    assert found[0].tolist() == [[72, 80, 88], [120, 130, 140]], "30 + 225 * 40 / 215 = 71.9"


def test_covering_by_hand():
    image = np.array([[[100, 200, 0]]], np.uint8)
    found = weather.cover(image, 1.0, np.array([[0.5]]))
    assert found.ravel().tolist() == [178, 228, 128], "half way to 255, halves to even"


# --- choices --------------------------------------------------------------------------------------


def dark(p=None):
    shadow = {"type": "Gamma", "args": {"gamma": [3.0, 3.0]}}
    if p is None:
        return shadow
    return {"type": "RandomApply", "args": {"transforms": [shadow], "p": p}}


def test_random_apply_is_as_frequent_as_asked():
    transform = TRANSFORMS.build(dark(0.3))
    times = sum(
        not np.array_equal(changed(transform, seed=seed), sample().image) for seed in range(400)
    )
    assert 90 <= times <= 150


def test_one_of_takes_each_as_often():
    grey = {"type": "Grayscale", "args": {"p": 1.0}}
    transform = build("OneOf", transforms=[dark(), grey])
    darker = sum(
        np.array_equal(changed(transform, seed=seed), changed(TRANSFORMS.build(dark())))
        for seed in range(400)
    )
    assert 160 <= darker <= 240


# --- second views ---------------------------------------------------------------------------------


def test_second_view_parts_from_the_first():
    one = sample()
    list_ = [
        build("RandomHorizontalFlip", p=1.0),
        build("SecondView", transforms=[dark()]),
        build("Grayscale", p=1.0),
    ]
    both = Compose(list_)(one, np.random.default_rng(0))
    flipped = sample().image[:, ::-1]
    assert np.array_equal(both.image2, changed(TRANSFORMS.build(dark()), Sample("s", flipped, {})))
    assert np.array_equal(both.image, changed(build("Grayscale", p=1.0), Sample("s", flipped, {})))


def test_geometry_after_the_views_have_parted():
    view = build("SecondView", transforms=[dark()])
    for late in (
        build("RandomCrop", size=8),
        build("RandomApply", transforms=[{"type": "RandomHorizontalFlip"}]),
    ):
        with pytest.raises(UserError, match="stands after SecondView, .* move it before"):
            Compose([view, late])
    with pytest.raises(UserError, match="RandomRotation cannot stand here"):
        build("SecondView", transforms=[{"type": "RandomRotation"}])
    with pytest.raises(UserError, match="a SecondView is there always or never"):
        build("OneOf", transforms=[{"type": "SecondView", "args": {"transforms": [dark()]}}])


@pytest.mark.parametrize(
    "name, args, message",
    [
        ("ColorJitter", {"hue": 0.7}, "hue up to 0.5"),
        ("Gamma", {"gamma": [0.0, 1.0]}, "above 0"),
        ("Grayscale", {"p": -1.0}, "a probability goes from 0 to 1"),
        ("Noise", {"std": [0.2, 0.1]}, "from zero up"),
        ("Fog", {"density": [0.1, 1.3]}, "0 to 1"),
        ("Rain", {"slant": 90.0}, "a slant of 0 to 80 degrees"),
        ("Snow", {"brightness": 0.5}, "give 1 or more"),
        ("Shadow", {"darkness": [0.5, 0.1]}, "0 to 1"),
        ("SunFlare", {"radius": [0.0, 0.5]}, "above 0"),
        ("OneOf", {"transforms": []}, "empty list"),
        ("RandomApply", {"transforms": [{"type": "Blur"}], "p": 2.0}, "from 0 to 1"),
        ("RandomApply", {"transforms": [{"type": "Blurr"}]}, "did you mean 'Blur'"),
    ],
)
def test_bad_arguments(name, args, message):
    with pytest.raises(UserError, match=message):
        build(name, **args)
