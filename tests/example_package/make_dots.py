"""Write the example data: python make_dots.py data/dots"""

import sys
from pathlib import Path

import cv2
import numpy as np

rng = np.random.default_rng(0)
for split, count in {"train": 16, "val": 4}.items():
    folder = Path(sys.argv[1]) / split
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        label = np.zeros((64, 64), np.uint8)
        for x, y in rng.integers(8, 56, (5, 2)).tolist():
            cv2.circle(label, (x, y), 5, 1, -1)
        image = rng.integers(0, 120, (64, 64, 3), dtype=np.uint8)
        image[label == 1] += 100
        np.savez(folder / f"{number:02d}.npz", image=image, label=label)
