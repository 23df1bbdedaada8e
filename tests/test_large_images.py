"""An image of 20,000 x 20,000 pixels in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import trained

from utils.image_io import read_label

ROOT = Path(__file__).parent.parent
WIDTH = 20000
HEIGHT = int(os.environ.get("SEGFORGE_TEST_HEIGHT", WIDTH))  # less for a quick look
GIGABYTE = 1e9

# Predicts with a network of one 1x1 convolution, and prints the bytes that were used at most
# before the image was read and at the end.
CHILD = """
import json, resource, sys
from torch import nn
import inference
from models import MODELS, BaseModel

@MODELS.register
class PerPixel(BaseModel):
    def __init__(self, out_channels: int):
        super().__init__()
        self.head = nn.Conv2d(3, out_channels, 1)
    def forward(self, image):
        return {"out": self.head(image)}

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

args = inference.parse(sys.argv[1:])
inference.load(args.model)
before = most()
inference.main(args)
print(json.dumps([before, most()]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_memory(tmp_path, ending):
    checkpoint = trained(tmp_path)
    torch.manual_seed(0)
    weight, bias = 5 * torch.randn(21, 3, 1, 1), torch.randn(21)
    state = torch.load(checkpoint) | {
        "arch": {"type": "PerPixel", "args": {}},
        "out_channels": 21,
        "classes": [str(i) for i in range(21)],
        "palette": [[10 * i, 250 - 10 * i, i] for i in range(21)],
        "state_dict": {"head.weight": weight, "head.bias": bias},
    }
    torch.save(state, tmp_path / "model.pth")
    across, down = (np.linspace(0, 255, side, dtype=np.uint8) for side in (WIDTH, HEIGHT))
    image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    image[:, :, 0], image[:, :, 1], image[:, :, 2] = across, down[:, None], 255 - across
    path = tmp_path / f"large.{ending}"
    cv2.imwrite(str(path), image)
    size = image.nbytes
    del image
    child = subprocess.run(
        [
            *(sys.executable, "-c", CHILD, "-d", "cpu", "-m", tmp_path / "model.pth"),
            *("-i", path, "-o", tmp_path / "out", "--save", "ids", "overlay"),
            *("--mode", "sliding", "--window", "512", "--overlap", "0.25"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    before, most = json.loads(child.stdout.splitlines()[-1])
    print(f"{(most - before - size) / GIGABYTE:.2f} GB beyond the model and the decoded image")
    assert most - before - size < 2 * GIGABYTE
    labels = read_label(tmp_path / "out" / "large_ids.png")
    assert labels.shape == (HEIGHT, WIDTH) and len(np.unique(labels)) > 3
