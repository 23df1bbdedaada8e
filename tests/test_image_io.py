"""Label files as stored, whatever the bits of a pixel."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from utils.image_io import read_label

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
