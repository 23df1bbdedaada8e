"""Smoother contours."""

from __future__ import annotations

import cv2
import numpy as np

from utils.postprocess.postprocessor import POSTPROCESSORS, MapStep
from utils.registry import Positive


@POSTPROCESSORS.register
class SmoothBoundary(MapStep):
    """Give each pixel the label with most weight around it, so that ragged contours become smooth.

    The weight is a Gaussian with a standard deviation of half the radius; of equal labels the
    lowest wins. What is thinner than about the radius is lost. This looks at the labels alone; it
    is no conditional random field, which looks at the image too.

    Args:
        radius: How far it looks, in pixels.
    """

    def __init__(self, radius: Positive = 2):
        self.radius = radius

    def edit(self, labels: np.ndarray) -> np.ndarray:
        best = np.zeros(labels.shape, np.float32)
        result = labels.copy()
        size = 2 * self.radius + 1
        for label in np.unique(labels):
            share = cv2.GaussianBlur(
                (labels == label).astype(np.float32),
                (size, size),
                self.radius / 2,
                borderType=cv2.BORDER_REPLICATE,
            )
            better = share > best
            result[better], best[better] = label, share[better]
        return result
