"""Embeddings as colours and as points: their first principal components."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from utils.errors import UserError

SHOWN = 3  # components: red, green, blue
TAILS = (0.1, 99.9)  # percentiles that become 0 and 255; objects may be few
PIXELS = 20_000  # of each map that take part in the fit


class PrincipalComponents:
    """The directions in which the pixels of some maps differ most, kept for every map after.

    Signs are fixed, the largest coefficient of each direction being positive, and all components
    share one range, so that one embedding has one colour in a whole folder of pictures.

    Args:
        maps: Embeddings (E, H, W) to fit to, such as the first few of a folder; pixels that are not
            finite are left out.

    Attributes:
        mean: (E,) of the fitted pixels.
        basis: (E, 3) directions, the first one with most variance; zeros beyond E.
        low, high: Values that become 0 and 255.
        flat: Whether no pixel differed from the others.
    """

    def __init__(self, maps: Iterable[np.ndarray]):
        points = np.concatenate([sample(each) for each in maps])
        points = points[np.isfinite(points).all(1)]
        width = points.shape[1]
        self.mean = points.mean(0) if len(points) else np.zeros(width)
        scatter = (points - self.mean).T @ (points - self.mean)
        _, directions = np.linalg.eigh(scatter)
        directions = directions[:, ::-1][:, :SHOWN]
        largest = np.abs(directions).argmax(0)
        directions = directions * np.sign(directions[largest, np.arange(directions.shape[1])])
        self.basis = np.zeros((width, SHOWN))
        self.basis[:, : directions.shape[1]] = directions
        shown = self.project(points)[:, : directions.shape[1]]
        self.low, self.high = np.percentile(shown, TAILS) if len(points) else (0.0, 0.0)

    def save(self, path: Path) -> None:
        """Write what was fitted to a file, .npz.

        Raises:
            UserError: If it cannot be written.
        """
        part = path.with_suffix(".part.npz")
        try:
            np.savez(part, mean=self.mean, basis=self.basis, range=(self.low, self.high))
            os.replace(part, path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: Path) -> PrincipalComponents | None:
        """What was saved; None where there is no such file, or it cannot be read."""
        try:
            with np.load(path) as file:
                found = cls.__new__(cls)
                found.mean, found.basis = file["mean"], file["basis"]
                found.low, found.high = file["range"]
        except (OSError, KeyError, ValueError, zipfile.BadZipFile):
            return None
        return found

    @property
    def flat(self) -> bool:
        return self.high - self.low <= 1e-12

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (P, E) as (P, 3) components."""
        return (points - self.mean) @ self.basis

    def colors(self, embedding: np.ndarray) -> np.ndarray:
        """Embedding (E, H, W) as (H, W, 3) uint8; one channel becomes grey values."""
        points = np.nan_to_num(embedding.reshape(len(embedding), -1).T.astype(np.float64))
        scaled = (self.project(points) - self.low) / max(self.high - self.low, 1e-12)
        picture = (scaled.clip(0, 1) * 255).round().astype(np.uint8)
        if len(embedding) == 1:
            picture = picture[:, [0, 0, 0]]
        return picture.reshape(*embedding.shape[1:], SHOWN)


def sample(embedding: np.ndarray) -> np.ndarray:
    """Evenly spaced pixels (P, E) float64 of an embedding (E, H, W)."""
    points = embedding.reshape(len(embedding), -1)
    return points[:, :: max(1, points.shape[1] // PIXELS)].T.astype(np.float64)
