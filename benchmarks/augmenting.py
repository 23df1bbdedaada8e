"""One recipe of augmentation, our way and that of the peers.

Each way takes an image and its labels (H, W) uint8, as they lie in files, and gives the normalised
crop and its target as tensors.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from dataloaders import TRANSFORMS  # noqa: E402
from dataloaders.transforms import Compose  # noqa: E402
from utils.normalization import IMAGENET, Normalization  # noqa: E402
from utils.sample import Sample  # noqa: E402

HEIGHT, WIDTH, CROP, IGNORE = 1024, 2048, 512, 255
MEAN, STD = IMAGENET
RECIPE = [
    {"type": "RandomScale", "args": {"scale": [0.5, 2.0]}},
    {"type": "RandomRotation", "args": {"degrees": 10}},
    {"type": "RandomCrop", "args": {"size": CROP}},
    {"type": "RandomHorizontalFlip"},
    {"type": "RandomApply", "args": {"transforms": [{"type": "Blur"}], "p": 0.5}},
]
Way = Callable[[np.ndarray, np.ndarray, int], object]


def recipe() -> Compose:
    return Compose([TRANSFORMS.build(section) for section in RECIPE])


def ours() -> Way:
    transform, normalize = recipe(), Normalization()
    border = {"image": normalize.fill(255), "semantic": IGNORE}

    def run(image: np.ndarray, label: np.ndarray, seed: int) -> object:
        sample = Sample("", image, {"semantic": label}, border)
        sample = transform(sample, np.random.default_rng(seed))
        target = torch.from_numpy(sample.maps["semantic"].astype(np.int64))
        return normalize(sample.image), target

    return run


def albumentations(steps: Callable) -> Way:
    """A composition of albumentations, to tensors."""
    import albumentations as A

    end = [A.HorizontalFlip(p=0.5), A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 1.0), p=0.5)]
    compose = A.Compose([*steps(A), *end, A.Normalize(MEAN, STD)], seed=0)

    def run(image: np.ndarray, label: np.ndarray, seed: int) -> object:
        found = compose(image=image, mask=label)
        values = np.ascontiguousarray(found["image"].transpose(2, 0, 1))
        return torch.from_numpy(values), torch.from_numpy(found["mask"].astype(np.int64))

    return run


def usual(A) -> list:
    return [
        A.RandomScale((-0.5, 1.0), p=1.0),
        A.Rotate(10, fill_mask=IGNORE, p=1.0),
        A.PadIfNeeded(CROP, CROP, fill_mask=IGNORE),
        A.RandomCrop(CROP, CROP),
    ]


def single(A) -> list:
    return [
        A.Affine(scale=(0.5, 2.0), rotate=(-10, 10), fit_output=True, fill_mask=IGNORE, p=1.0),
        A.PadIfNeeded(CROP, CROP, fill_mask=IGNORE),
        A.RandomCrop(CROP, CROP),
    ]


def torchvision() -> Way:
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    fill = {tv_tensors.Image: 0, tv_tensors.Mask: IGNORE}
    compose = v2.Compose(
        [
            v2.ScaleJitter((WIDTH, HEIGHT), (0.5, 2.0)),  # it divides the second by the height
            v2.RandomRotation(10, v2.InterpolationMode.BILINEAR, fill=fill),
            v2.RandomCrop(CROP, pad_if_needed=True, fill=fill),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.GaussianBlur(5, (0.1, 1.0))], 0.5),
            v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )

    def run(image: np.ndarray, label: np.ndarray, seed: int) -> object:
        values = tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1))
        values, mask = compose(values, tv_tensors.Mask(torch.from_numpy(label)))
        return values, mask.long()

    return run


WAYS: dict[str, Callable[[], Way]] = {
    "ours": ours,
    "albumentations, usual": lambda: albumentations(usual),
    "albumentations, Affine + crop": lambda: albumentations(single),
    "torchvision v2": torchvision,
}


def example() -> tuple[np.ndarray, np.ndarray]:
    """A picture with detail at every size, and 19 classes in patches."""
    rng = np.random.default_rng(0)
    levels = [rng.random((HEIGHT // n, WIDTH // n, 3), dtype=np.float32) for n in (4, 16, 64)]
    picture = sum(cv2.resize(level, (WIDTH, HEIGHT)) for level in levels) / 3
    patches = rng.integers(0, 19, (HEIGHT // 64, WIDTH // 64)).astype(np.uint8)
    label = cv2.resize(patches, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    return (picture * 255).astype(np.uint8), label
