"""Augmentation moves image and labels together, and ignores what it makes up."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dataloaders import TRANSFORMS
from utils.augmentation import augmentation
from utils.errors import UserError
from utils.sample import Sample

IGNORE = 255


def sample(height=40, width=60, dtype=np.uint8, channels=3) -> Sample:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, np.iinfo(dtype).max, (4, 6, channels), dtype=dtype)
    image = np.kron(coarse, np.ones((height // 4, width // 6, 1), dtype))
    ids = np.kron(np.arange(24).reshape(4, 6), np.ones((height // 4, width // 6), int))
    border = {"image": [0.0] * channels, "semantic": IGNORE, "instance": -1}
    maps = {"semantic": (ids % 5).astype(np.int32), "instance": ids.astype(np.int32)}
    return Sample("s", image, maps, border)


def warp(**args):
    return TRANSFORMS.build({"type": "Warp", "args": args})


BLUR = [{"type": "Blur"}]
ARGS = {
    "CenterCrop": {"size": 24},
    "OneOf": {"transforms": BLUR},
    "RandomApply": {"transforms": BLUR},
    "RandomCrop": {"size": 24},
    "RandomResizedCrop": {"size": 24},
    "Resize": {"size": 24},
    "SecondView": {"transforms": BLUR},
}
NEED_RGB = ("ColorJitter", "Grayscale")


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_every_transform_keeps_form_and_follows_the_generator(name, dtype, channels):
    transform = TRANSFORMS.build({"type": name, "args": ARGS.get(name, {})})
    given = sample(dtype=dtype, channels=channels)
    given.image.setflags(write=False)  # as an image in a cache is
    if name in NEED_RGB and channels != 3:
        with pytest.raises(UserError, match=f"{name} needs images of 3 channels.*not {channels}"):
            transform(given, np.random.default_rng(1))
        return
    results = [transform(replace(given), np.random.default_rng(seed)) for seed in (1, 1)]
    for result in results:
        assert result.image.dtype == dtype and result.image.shape[2] == channels
        assert result.maps["semantic"].shape == result.image.shape[:2]
    assert np.array_equal(results[0].image, results[1].image)


def test_identity_changes_nothing():
    before, after = sample(), warp()(sample(), np.random.default_rng(0))
    assert np.array_equal(before.image, after.image)
    assert all(np.array_equal(before.maps[key], after.maps[key]) for key in before.maps)


def test_flip_is_exact():
    transform = warp(flip=True)
    flipped = False
    for seed in range(8):
        after = transform(sample(), np.random.default_rng(seed))
        mirrored = np.array_equal(after.image, sample().image[:, ::-1])
        assert mirrored or np.array_equal(after.image, sample().image)
        assert np.array_equal(
            after.maps["instance"], sample().maps["instance"][:, :: -1 if mirrored else 1]
        )
        flipped |= mirrored
    assert flipped


def test_crop_is_a_window_and_padding_is_ignored():
    after = warp(crop_size=(48, 30))(sample(), np.random.default_rng(3))
    semantic, instance = after.maps["semantic"], after.maps["instance"]
    assert semantic.shape == (48, 30)
    padded = semantic == IGNORE
    assert padded.sum() == 8 * 30, "the image is 40 high, the crop 48"
    assert np.array_equal(padded, instance == -1)
    assert not after.image[padded].any()
    window = after.image[~padded].reshape(40, 30, 3)
    columns = [x for x in range(31) if np.array_equal(sample().image[:, x : x + 30], window)]
    assert len(columns) >= 1


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.77, 1.0, 1.6, 2.0])
def test_image_and_labels_stay_together(scale):
    """An image that shows its own labels still does, but for the pixels on edges."""
    one = sample(200, 300)
    one.image = np.repeat((one.maps["instance"] * 10)[:, :, None], 3, axis=2).astype(np.uint8)
    rng = np.random.default_rng(5)
    after = warp(scale=(scale, scale), rotate=10.0, flip=True, crop_size=150)(one, rng)
    labels = after.maps["instance"]
    inner = cv2.erode((labels >= 0).astype(np.uint8), np.ones((5, 5)))
    inner[[0, 1, -2, -1]] = inner[:, [0, 1, -2, -1]] = 0  # an edge may lie just outside the crop
    inner &= cv2.dilate(labels.astype(np.int16), np.ones((5, 5))) == labels
    inner &= cv2.erode(labels.astype(np.int16), np.ones((5, 5))) == labels
    assert inner.sum() > 1000
    assert np.abs(after.image[:, :, 0].astype(int) - labels * 10)[inner == 1].max() <= 1


def test_shrinking_averages():
    """A fine checkerboard shrunk to a quarter is grey, not black and white."""
    one = sample(64, 64)
    board = np.indices((64, 64)).sum(0) % 2 * 255
    one.image = np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)
    one.maps = {}
    after = warp(scale=(0.25, 0.25))(one, np.random.default_rng(0))
    assert after.image.shape[:2] == (16, 16)
    assert np.abs(after.image.astype(int) - 127.5).max() <= 1


def test_rotation_ignores_the_corners():
    after = warp(rotate=10.0)(sample(), np.random.default_rng(0))
    assert (after.maps["semantic"] == IGNORE).any()
    assert set(np.unique(after.maps["semantic"])) <= {0, 1, 2, 3, 4, IGNORE}


def test_large_ids_survive():
    one = sample()
    one.maps["instance"] = one.maps["instance"] * 1_000_003
    after = warp(crop_size=(50, 60))(one, np.random.default_rng(0))
    assert set(np.unique(after.maps["instance"])) == {-1, *np.unique(one.maps["instance"])}


def test_flags():
    assert augmentation() == []
    everything = augmentation(True, 400, 380, True, True, True, True)
    assert [section["type"] for section in everything] == ["Warp", "Blur"]
    assert everything[0]["args"] == {
        "base_size": 400,
        "crop_size": 380,
        "scale": [0.5, 2.0],
        "rotate": 10.0,
        "flip": True,
        "center": False,
        "rare_class_crops": False,
    }
    only_size = augmentation(False, None, 32, True, True)
    assert only_size == [
        {"type": "Warp", "args": {"base_size": None, "crop_size": 32, "center": True}}
    ]


@pytest.mark.parametrize(
    "name, args, message",
    [
        ("Warp", {"scale": (2.0, 1.0)}, "give the lowest and highest, above 0"),
        ("Warp", {"crop_size": 0}, "has a side below 1"),
        ("Blur", {"sigma": (1.0, 0.0)}, "give the lowest and the highest"),
        ("BrightnessContrast", {"contrast": 2.0}, "they go from 0 to 1"),
    ],
)
def test_bad_arguments(name, args, message):
    with pytest.raises(UserError, match=message):
        TRANSFORMS.build({"type": name, "args": args})
