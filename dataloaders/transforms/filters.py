"""What a lens and a sensor add: blur and noise."""

from __future__ import annotations

import cv2
import numpy as np

from base.base_transform import TRANSFORMS, BaseTransform
from dataloaders.transforms.warp import with_axis
from utils.sample import Sample


@TRANSFORMS.register
class Blur(BaseTransform):
    """Gaussian blur of the image by a random sigma.

    Args:
        sigma: Lowest and highest sigma, in pixels.
    Raises:
        ValueError: If sigma is negative or falls.
    """

    def __init__(self, sigma: tuple[float, float] = (0.0, 1.0)):
        if not 0 <= sigma[0] <= sigma[1]:
            raise ValueError(
                f"sigma is {list(sigma)}; give the lowest and the highest, from zero up"
            )
        self.sigma = sigma

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sigma = rng.uniform(*self.sigma)
        if sigma > 0:
            sample.image = with_axis(cv2.GaussianBlur(sample.image, (0, 0), sigma))
        return sample


@TRANSFORMS.register
class Noise(BaseTransform):
    """Gaussian noise on every pixel and channel, of a random strength.

    Args:
        std: Lowest and highest standard deviation, as a share of full scale.
    Raises:
        ValueError: If std is negative or falls.
    """

    def __init__(self, std: tuple[float, float] = (0.0, 0.05)):
        if not 0 <= std[0] <= std[1]:
            raise ValueError(f"std is {list(std)}; give the lowest and the highest, from zero up")
        self.std = std

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        full = np.iinfo(sample.image.dtype).max
        values = rng.standard_normal(sample.image.shape, dtype=np.float32)
        values *= full * rng.uniform(*self.std)
        values += sample.image
        sample.image = values.round().clip(0, full).astype(sample.image.dtype)
        return sample
