"""The promise of every augmentation: it changes a sample, by chance that can be repeated."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from utils.registry import Registry
from utils.sample import Sample

TRANSFORMS = Registry("transform")


class BaseTransform(ABC):
    """One step of augmentation.

    Every random number comes from the given generator, so a sample can be replayed. Arrays are
    replaced and never written into: they may lie in a cache on disk.
    """

    @abstractmethod
    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """The changed sample; image (H, W, C) uint8 or uint16, maps (H, W) whole numbers.

        Raises:
            UserError: If the image has channels that the transform cannot change.
        """
