"""Label files as stored, whatever the bits of a pixel."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from utils.errors import UserError
from utils.image_io import read_image, read_label

GREY, PALETTE = 0, 3


def chunk(name: bytes, data: bytes) -> bytes:
    content = name + data
    return struct.pack(">I", len(data)) + content + struct.pack(">I", zlib.crc32(content))


def png(values: np.ndarray, bits: int, kind: int) -> bytes:
    """A PNG of (H, W) values, as its specification has it, without a library."""

    height, width = values.shape
    rows = ["".join(f"{value:0{bits}b}" for value in row) for row in values.tolist()]
    rows = [row.ljust(-(-len(row) // 8) * 8, "0") for row in rows]
    raw = b"".join(b"\0" + int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)
    palette = chunk(b"PLTE", bytes(range(3 * 2**bits))) if kind == PALETTE else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + palette + data


@pytest.mark.parametrize(
    "bits, kind",
    [*((bits, GREY) for bits in (1, 2, 4, 8, 16)), (1, PALETTE), (2, PALETTE), (4, PALETTE)],
)
def test_ids_are_those_stored(tmp_path: Path, bits: int, kind: int):
    ids = np.random.default_rng(0).integers(0, 2**bits, (5, 7))
    ids[0, :2] = 0, 2**bits - 1
    path = tmp_path / "label.png"
    path.write_bytes(png(ids, bits, kind))
    assert np.array_equal(read_label(path), ids)


def test_palettes_of_any_size(tmp_path: Path):
    """Pillow by itself refuses pictures of more than 179 million pixels."""
    side = 13400
    packed = zlib.compress(b"\0" * side * (1 + side // 8), 1)
    small = png(np.zeros((1, 8), int), 1, PALETTE)
    start = small.index(b"IDAT") - 4
    header = struct.pack(">IIBBBBB", side, side, 1, PALETTE, 0, 0, 0)
    path = tmp_path / "label.png"
    path.write_bytes(
        small[:8]
        + chunk(b"IHDR", header)
        + small[33:start]
        + chunk(b"IDAT", packed)
        + chunk(b"IEND", b"")
    )
    label = read_label(path)
    assert label.shape == (side, side) and not label.any()


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(90, 70), (90, 70, 3), (90, 70, 4)])
def test_a_tiff_is_read_as_stored(tmp_path: Path, depth: type, shape: tuple[int, ...]):
    image = np.random.default_rng(0).integers(0, np.iinfo(depth).max, shape, dtype=depth)
    cv2.imwrite(str(tmp_path / "a.tif"), image)
    found = read_image(tmp_path / "a.tif", 1 if len(shape) == 2 else 3)
    expected = image[:, :, None] if len(shape) == 2 else image[:, :, 2::-1]
    assert np.array_equal(found, expected)


def test_a_damaged_tiff_is_refused(tmp_path: Path):
    """OpenCV alone would give black rows in the strip that cannot be decoded."""
    path = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.GaussianBlur(noise, (9, 9), 3))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    for place in range(middle, middle + 200):
        data[place] ^= 0x5A
    path.write_bytes(data)
    assert (cv2.imread(str(path)) == 0).all((1, 2)).any()
    for read in (read_image, read_label):
        with pytest.raises(UserError, match="a.tif is damaged; copy it again"):
            read(path)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_tiff_of_other_values_is_told_by_them(tmp_path: Path, channels: int):
    cv2.imwrite(str(tmp_path / "a.tif"), np.zeros((40, 50), np.float32))
    with pytest.raises(UserError, match="holds float32 values; 8 and 16 bit images can be read"):
        read_image(tmp_path / "a.tif", channels)
