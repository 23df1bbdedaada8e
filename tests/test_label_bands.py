"""Images labelled band by band, in little memory."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from inferring import files, infer, photo

from utils.image_io import write_png
from utils.normalization import Normalization


def test_a_full_disk_under_the_bands(model, tmp_path, monkeypatch, capsys):
    def full(dir: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("utils.inference.label_bands.tempfile.TemporaryFile", full)
    write_png(tmp_path / "a.png", photo((45, 70, 3)))
    words = ("--mode", "sliding", "--window", "32", "--save", "ids")
    assert infer(model, "-i", tmp_path / "a.png", "-o", tmp_path / "out", *words) == 2
    said = capsys.readouterr().err
    assert "3,150 bytes that labels of 70x45 pixels need meanwhile: No space left" in said


@pytest.mark.parametrize("normalize", ["own", "fixed"])
@pytest.mark.parametrize("size", [(300, 200), (64, 500), (500, 64), (20, 20)])
def test_bands_give_the_labels_of_the_image_in_one_piece(predict, tmp_path, size, normalize):
    before = predict.normalization
    if normalize == "own":
        predict.normalization = Normalization((), ())
    image = photo((*size, 3))
    predict.use({"type": "Sliding", "args": {"window": 64, "overlap": 0.5}}, [])
    assert predict.in_bands
    found = predict.label_in_bands(image, tmp_path)
    assert found.dtype == np.uint8 and np.array_equal(found, predict(image))
    assert not files(tmp_path)
    predict.use("Whole", [])
    assert not predict.in_bands
    predict.normalization = before


def test_an_images_own_statistics_in_blocks():
    image = photo((700, 33, 3))
    own = Normalization((), ()).of(image)
    np.testing.assert_allclose(own.mean, image.mean((0, 1)) / 255)
    np.testing.assert_allclose(own.std, image.std((0, 1)) / 255)
