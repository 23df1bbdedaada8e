"""Draw every transform on one drawn street, a row of random draws each.

python tools/transform_sheet.py [docs/augmentation.png]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from dataloaders import TRANSFORMS  # noqa: E402
from utils.sample import Sample  # noqa: E402

HEIGHT, WIDTH, DRAWS = 72, 108, 4
ARGS = {
    "CenterCrop": {"size": [54, 81]},
    "Grayscale": {"p": 0.5},
    "RandomCrop": {"size": [54, 81]},
    "RandomResizedCrop": {"size": [72, 108], "scale": [0.2, 0.8]},
    "Resize": {"size": [54, 54]},
    "Blur": {"sigma": [0.5, 2.0]},
    "Warp": {"crop_size": [72, 108], "scale": [0.5, 2.0], "rotate": 20, "flip": True},
}
OTHERS = ("OneOf", "RandomApply", "SecondView")  # of other transforms


def street() -> np.ndarray:
    """A road with a house, trees and a car, (H, W, 3) RGB."""
    high, wide, fine = HEIGHT, WIDTH, 4
    image = np.zeros((high * fine, wide * fine, 3), np.uint8)
    image[:] = np.linspace([120, 170, 220], [200, 215, 225], high * fine)[:, None]

    def fill(colour: list[int], *points: tuple[float, float]) -> None:
        corners = (np.array(points) * fine).astype(np.int32)
        cv2.fillPoly(image, [corners], colour)

    fill([95, 130, 70], (0, 40), (wide, 40), (wide, high), (0, high))
    fill([85, 85, 90], (48, 40), (58, 40), (95, high), (15, high))
    for row in range(44, high, 8):
        fill([225, 225, 225], (52, row), (54, row), (54.5, row + 4), (51.5, row + 4))
    fill([170, 90, 70], (6, 18), (30, 18), (30, 44), (6, 44))
    fill([110, 50, 45], (3, 18), (18, 8), (33, 18))
    for column in (10, 20):
        fill([235, 225, 150], (column, 24), (column + 5, 24), (column + 5, 31), (column, 31))
    for column, size in ((80, 11), (98, 8)):
        fill([90, 65, 45], (column - 1, 30), (column + 1, 30), (column + 1, 46), (column - 1, 46))
        cv2.circle(image, (column * fine, 26 * fine), size * fine, [50, 105, 50], -1)
    fill([190, 40, 45], (58, 50), (74, 50), (76, 60), (58, 60))
    fill([150, 185, 205], (61, 46), (71, 46), (73, 50), (60, 50))
    for column in (62, 72):
        cv2.circle(image, (column * fine, 60 * fine), 2 * fine, [25, 25, 25], -1)
    return cv2.resize(image, (wide, high), interpolation=cv2.INTER_AREA)


def row(name: str, image: np.ndarray) -> np.ndarray:
    """The name, and as many draws, each in a tile of the picture's size."""
    tiles = [np.full((HEIGHT, 150, 3), 255, np.uint8)]
    cv2.putText(tiles[0], name, (4, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.4, [0, 0, 0], 1, cv2.LINE_AA)
    transform = TRANSFORMS.build({"type": name, "args": ARGS.get(name, {})})
    for seed in range(DRAWS):
        sample = Sample(name, image, {}, {"image": [128.0]})
        found = transform(sample, np.random.default_rng(seed)).image
        scale = min(HEIGHT / found.shape[0], WIDTH / found.shape[1], 1)
        small = cv2.resize(found, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
        tile[: small.shape[0], : small.shape[1]] = small
        tiles.append(tile)
    return np.hstack(
        [np.pad(tile, ((2, 2), (2, 2), (0, 0)), constant_values=255) for tile in tiles]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", nargs="?", type=Path, default=Path("docs/augmentation.png"))
    path = parser.parse_args().output
    image = street()
    rows = [row(name, image) for name in TRANSFORMS if name not in OTHERS]
    half = -(-len(rows) // 2)
    rows += [np.full_like(rows[0], 255)] * (2 * half - len(rows))
    sheet = np.hstack([np.vstack(rows[:half]), np.vstack(rows[half:])])
    Image.fromarray(sheet).save(path, optimize=True)
    print(f"{path} written, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
