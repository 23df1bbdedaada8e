"""Steps that move pixels: where they go, that neighbours are one warp, how well it shrinks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dataloaders import TRANSFORMS
from dataloaders.transforms import Compose, geometry
from dataloaders.transforms.warp import about, shift, stretch, turn, warp_image, warp_labels
from utils.errors import UserError
from utils.sample import Sample

IGNORE = 255


def build(name, **args):
    return TRANSFORMS.build({"type": name, "args": args})


def numbered(height=6, width=8) -> Sample:
    """Every pixel has its own id; the image shows it."""
    ids = np.arange(height * width, dtype=np.int32).reshape(height, width)
    image = np.repeat(ids[:, :, None], 3, axis=2).astype(np.uint8)
    return Sample("s", image, {"semantic": ids}, {"image": [0.0], "semantic": IGNORE})


def after(transforms, sample=None, seed=0) -> Sample:
    return Compose(transforms)(sample or numbered(), np.random.default_rng(seed))


# --- where pixels go ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, expected",
    [
        ("RandomHorizontalFlip", lambda ids: ids[:, ::-1]),
        ("RandomVerticalFlip", lambda ids: ids[::-1]),
    ],
)
def test_flips(name, expected):
    result = after([build(name, p=1.0)])
    assert np.array_equal(result.maps["semantic"], expected(numbered().maps["semantic"]))
    assert np.array_equal(result.image[:, :, 0], result.maps["semantic"])
    unchanged = after([build(name, p=0.0)])
    assert np.array_equal(unchanged.maps["semantic"], numbered().maps["semantic"])


def test_quarter_turns_are_exact_and_all_occur():
    ids = numbered().maps["semantic"]
    seen = set()
    for seed in range(20):
        found = after([build("RandomRotate90")], seed=seed)
        turns = [k for k in range(4) if np.array_equal(found.maps["semantic"], np.rot90(ids, k))]
        assert len(turns) == 1 and np.array_equal(found.image[:, :, 0], np.rot90(ids, turns[0]))
        seen |= {*turns}
    assert seen == {0, 1, 2, 3}


def test_center_crop_and_padding():
    ids = numbered().maps["semantic"]
    assert np.array_equal(after([build("CenterCrop", size=4)]).maps["semantic"], ids[1:5, 2:6])
    padded = after([build("CenterCrop", size=[8, 8])]).maps["semantic"]
    assert np.array_equal(padded[1:7], ids) and (padded[[0, 7]] == IGNORE).all()


def test_random_crop_is_a_window_of_the_image():
    ids = numbered().maps["semantic"]
    corners = {
        int(after([build("RandomCrop", size=4)], seed=s).maps["semantic"][0, 0]) for s in range(99)
    }
    assert corners == set(ids[:3, :5].ravel().tolist()), "every place, and no other"


def test_resize():
    ids = numbered().maps["semantic"]
    assert after([build("Resize", size=[3, 4])]).maps["semantic"].shape == (3, 4)
    assert after([build("Resize", size=12)]).image.shape == (12, 16, 3)
    doubled = after([build("Resize", size=[12, 16])]).maps["semantic"]
    assert np.array_equal(doubled, np.kron(ids, np.ones((2, 2), int)))


def test_resized_crops_have_the_area_and_shape_asked_for():
    """The columns and rows a window spans are read off two ramps."""
    height, width = 120, 200
    rows, columns = np.mgrid[:height, :width].astype(np.int32)
    areas, ratios = [], []
    crop = build("RandomResizedCrop", size=64, scale=[0.2, 0.5], ratio=[0.8, 1.25])
    for seed in range(60):
        maps = {"semantic": rows, "instance": columns}
        border = {"image": [0.0], "semantic": IGNORE, "instance": -1}
        one = Sample("s", np.zeros((height, width, 3), np.uint8), maps, border)
        found = after([crop], one, seed).maps
        assert (found["instance"] >= 0).all(), "the window lies inside"
        high = (int(np.ptp(found["semantic"])) + 1) * 64 / 63
        wide = (int(np.ptp(found["instance"])) + 1) * 64 / 63
        areas.append(high * wide / (height * width))
        ratios.append(wide / high)
    assert 0.18 < min(areas) < 0.25 and 0.45 < max(areas) < 0.53
    assert 0.75 < min(ratios) < 0.9 and 1.1 < max(ratios) < 1.33


def test_resized_crop_larger_than_the_image_is_padded():
    crop = build("RandomResizedCrop", size=32, scale=[2.0, 2.0])
    found = after([crop], numbered(32, 32)).maps["semantic"]
    assert 0.3 < (found == IGNORE).mean() < 0.7, "half of twice the area"


def test_resized_crop_of_a_long_image_keeps_inside_it():
    crop = build("RandomResizedCrop", size=16, scale=[1.0, 1.0])
    assert (after([crop], numbered(4, 40)).maps["semantic"] != IGNORE).all()


# --- one warp -------------------------------------------------------------------------------------


def test_neighbours_become_one_warp(monkeypatch):
    calls = []
    monkeypatch.setattr(geometry, "warp", lambda *args: calls.append(1) or args[0])
    flip = {"type": "RandomHorizontalFlip"}
    steps = [
        build("RandomScale"),
        build("RandomRotation"),
        build("RandomApply", transforms=[{"type": "RandomVerticalFlip"}], p=1.0),
        build("OneOf", transforms=[flip, {"type": "RandomRotate90"}]),
        build("RandomCrop", size=4),
        build("Gamma"),
        build("CenterCrop", size=2),
    ]
    after(steps)
    assert len(calls) == 2, "one before Gamma and one after it"


def test_a_chain_loses_nothing_on_the_way():
    """Out of sight and back again: the pixels are those of the image."""
    ids = numbered(40, 40).maps["semantic"] % 200
    one = numbered(40, 40)
    one.maps["semantic"] = ids
    steps = [build("CenterCrop", size=10), build("CenterCrop", size=40)]
    assert np.array_equal(after(steps, one).maps["semantic"], ids)


def test_warp_is_its_parts():
    parts = [
        build("RandomScale", scale=[0.6, 1.7]),
        build("RandomRotation", degrees=12),
        build("RandomHorizontalFlip"),
        build("RandomCrop", size=20),
    ]
    whole = build("Warp", scale=[0.6, 1.7], rotate=12, flip=True, crop_size=20)
    for seed in range(5):
        one, other = (after(t, numbered(30, 30), seed) for t in (parts, [whole]))
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.maps["semantic"], other.maps["semantic"])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype, border", [(np.int32, -1), (np.uint8, 255), (np.uint8, -1)])
def test_labels_are_the_nearest_pixel(seed, dtype, border):
    """Against the inverse map in float64, for ids that need all bits."""
    rng = np.random.default_rng(seed)
    limits = np.iinfo(dtype)
    labels = rng.integers(limits.min, limits.max, (90, 120), dtype, endpoint=True)
    matrix = shift(*rng.uniform(-30, 20, 2)) @ about(
        60, 45, turn(rng.uniform(-180, 180)) @ stretch(*rng.uniform(0.4, 2.5, 2))
    )
    y, x = np.mgrid[:80, :100] + 0.5
    columns, rows, _ = np.linalg.inv(matrix) @ [x.ravel(), y.ravel(), np.ones(x.size)]
    on_edge = np.minimum(abs(columns - columns.round()), abs(rows - rows.round())) < 1e-3
    columns, rows = np.floor(columns).astype(int), np.floor(rows).astype(int)
    inside = (columns >= 0) & (columns < 120) & (rows >= 0) & (rows < 90)
    expected = np.where(inside, labels.astype(int)[rows.clip(0, 89), columns.clip(0, 119)], border)
    found = warp_labels(labels, matrix, (80, 100), border).ravel()
    assert found.dtype == np.int32
    assert on_edge.mean() < 0.05 and np.array_equal(found[~on_edge], expected[~on_edge])


def test_only_the_part_that_is_seen_is_read():
    """What lies outside of the crop may be anything: here, an array whose other rows cannot be."""

    class Watched(np.ndarray):
        seen: list = []

        def __getitem__(self, key):
            if isinstance(key, tuple):
                Watched.seen.append(key[:2])
            return super().__getitem__(key).view(np.ndarray)

    image = np.zeros((1000, 2000, 3), np.uint8).view(Watched)
    warp_image(image, shift(-700, -300), (100, 100), [0.0])
    rows, columns = Watched.seen[0]
    assert (rows.start, rows.stop) == (298, 402) and (columns.start, columns.stop) == (698, 802)


def test_nothing_of_the_image_in_sight():
    image = np.full((10, 10, 3), 9, np.uint8)
    assert (warp_image(image, shift(500, 0), (4, 4), [7.0]) == 7).all()
    assert (warp_labels(image[:, :, 0], shift(500, 0), (4, 4), IGNORE) == IGNORE).all()


# --- shrinking ------------------------------------------------------------------------------------


def zone_plate(side=480) -> np.ndarray:
    """Rings that grow finer up to the finest an image can hold."""
    y, x = np.indices((side, side)) - side / 2
    rings = 127.5 + 127.5 * np.cos(np.pi * (x**2 + y**2) / side)
    return np.repeat(rings[:, :, None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("degrees", [0.0, 7.0])
@pytest.mark.parametrize("scale", [0.15, 0.3, 0.45, 0.5, 0.6, 0.75, 0.9])
def test_shrinking_is_no_worse_than_area_averaging_then_rotation(scale, degrees):
    """The truth is the mean of 12 x 12 bilinear samples a pixel."""
    image, side = zone_plate(), 480
    small = round(side * scale)
    crop = (small // 2, small // 2)
    scale = small / side
    rotation = about(small / 2, small / 2, turn(degrees))
    matrix = shift(-(small // 4), -(small // 4)) @ rotation @ stretch(scale, scale)
    many = cv2.warpAffine(
        image,
        (shift(-0.5, -0.5) @ stretch(12, 12) @ matrix @ shift(0.5, 0.5))[:2],
        (crop[1] * 12, crop[0] * 12),
    )
    truth = cv2.resize(many, crop[::-1], interpolation=cv2.INTER_AREA).astype(float)
    peer = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    if degrees:
        pixels = (shift(-0.5, -0.5) @ rotation @ shift(0.5, 0.5))[:2]
        peer = cv2.warpAffine(peer, pixels, (small, small))
    corner = small // 4
    peer = peer[corner : corner + crop[0], corner : corner + crop[1]]
    ours = warp_image(image, matrix, crop, [0.0])

    def error(picture):
        return np.sqrt(((picture - truth) ** 2).mean())

    assert error(ours) <= error(peer)


# --- crops that one class fills -------------------------------------------------------------------


def two_classes(share=0.1, side=200) -> Sample:
    """Class 1 is a stripe at the left."""
    labels = np.zeros((side, side), np.int32)
    labels[:, : int(side * share)] = 1
    image = np.zeros((side, side, 3), np.uint8)
    return Sample("s", image, {"semantic": labels}, {"image": [0.0], "semantic": IGNORE})


@pytest.mark.parametrize("name", ["RandomCrop", "Warp"])
def test_rare_class_crops(name):
    size = {"RandomCrop": "size", "Warp": "crop_size"}[name]

    def filled(**args):
        crop = build(name, **{size: 50}, **args)
        shares = []
        for seed in range(100):
            labels = after([crop], two_classes(0.3), seed).maps["semantic"]
            shares.append(max((labels == 0).mean(), (labels == 1).mean()))
        return np.mean(np.array(shares) > 0.78)

    chance = filled()
    assert chance > 0.7, "the edge of the stripe is rarely in sight"
    assert filled(rare_class_crops=True) < 0.3, "ten tries at a chance of about 0.17"
    assert filled(rare_class_crops=1.0) == chance


def test_rare_class_crops_do_not_count_ignored_pixels():
    one = two_classes(0.5)
    one.maps["semantic"][:, 60:] = IGNORE
    matrix = np.eye(3)
    assert geometry.class_share(one, matrix, (200, 200)) == 1.0
    one.maps["semantic"][:100, :60] = 2
    assert geometry.class_share(one, matrix, (200, 200)) == pytest.approx(0.5)
    one.maps["semantic"][:] = IGNORE
    assert geometry.class_share(one, matrix, (200, 200)) == 1.0


@pytest.mark.parametrize(
    "name, args, message",
    [
        ("RandomCrop", {"size": 4, "rare_class_crops": 2.0}, "a share goes from 0 to 1"),
        ("RandomResizedCrop", {"size": 4, "scale": [0.0, 1.0]}, "scale is .* above 0"),
        ("RandomResizedCrop", {"size": [4, 0]}, "has a side below 1"),
        ("RandomRotation", {"degrees": -1}, "from zero up"),
        ("RandomScale", {"base_size": 0}, "base_size is 0"),
        ("RandomHorizontalFlip", {"p": 1.5}, "a probability goes from 0 to 1"),
    ],
)
def test_bad_arguments(name, args, message):
    with pytest.raises(UserError, match=message):
        build(name, **args)
