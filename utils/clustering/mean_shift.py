"""Instances as the modes of the embedding's density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from utils.clustering.borders import is_object
from utils.clustering.ground_labeler import GroundLabeler, refuse_no_share, refuse_not_positive
from utils.clustering.labeler import LABELERS
from utils.clustering.spread import count_near, nearest_point, onto_image, owner_of
from utils.clustering.valleys import join_modes
from utils.clustering.windows import homogeneous_windows

SAMPLE = 2048  # windows that stand for the density
MOST_SEEDS = 512  # a round
COUNTED = 2**23  # windows times modes, at most, where hills are told from plateaus
ROUNDS = 4
ITERATIONS = 100


@LABELERS.register
@dataclass(kw_only=True, eq=False)
class MeanShift(GroundLabeler):
    """Mean shift over a sample of homogeneous ground, then every pixel to the nearest hill's mode.

    Comaniciu and Meer, Mean shift: a robust approach toward feature space analysis, 2002 (not on
    arXiv). There every pixel is shifted; here a sample of 3x3 windows that no border runs through,
    against itself, by matrix products. Windows that no mode explains are sampled again, so small
    objects are found too. Modes that no valley of the density parts are one object: an embedding
    may drift across an object. A mode between two others in the embedding, with few of its pixels
    on homogeneous ground, is a border's and no object.

    Args:
        bandwidth: Radius of the kernel, or standard deviation of the Gaussian one; delta_var where
            it is not given. Modes within it of each other are one.
        kernel: "flat", or "gaussian", slower, for instances of uneven density.
        saddle: 0 to 1. Two modes within three bandwidths are one object where the density between
            them, windows within the bandwidth, nowhere falls below this share of the lower one's;
            the lower, the more are one. None for every mode an object of its own.
    Shape:
        outputs[output] (B, E, H, W) -> (B, H, W) int64.
    Raises:
        ValueError: If delta_var or bandwidth is not above 0 or not finite, saddle is outside of 0
            to 1, or an argument of all labelers of embeddings is refused.
    """

    bandwidth: float | None = None
    kernel: Literal["flat", "gaussian"] = "flat"
    saddle: float | None = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_not_positive(bandwidth=self.bandwidth)
        if self.saddle is not None:
            refuse_no_share(saddle=self.saddle)

    @property
    def radius(self) -> float:
        """The bandwidth in use."""
        return self.delta_var if self.bandwidth is None else self.bandwidth

    def cluster(self, embedding: Tensor, foreground: Tensor) -> Tensor:
        windows, ground = homogeneous_windows(embedding, foreground, self.radius)
        modes = self._modes(windows)
        if not len(modes):
            return torch.zeros_like(foreground, dtype=torch.int64)
        hill, tops = self._hills(modes, windows)
        owned = owner_of(embedding[:, foreground], modes, hill, self.radius)
        owned = owned * is_object(windows, modes, hill, owned, self.radius)[owned]
        sizes = owned.bincount(minlength=len(tops) + 1)[1:]
        objects = torch.cat([hill.new_zeros(1), self.objects(tops, sizes)])
        return onto_image(objects[owned], foreground, ground, self.border)

    def objects(self, tops: Tensor, sizes: Tensor) -> Tensor:
        """The object of each hill, from 1; tops are (L, E), sizes (L,) their pixels."""
        return torch.arange(1, len(tops) + 1, device=tops.device)

    def _hills(self, modes: Tensor, windows: Tensor) -> tuple[Tensor, Tensor]:
        """The hill of each mode (K,), from 1, and the top of each hill (L, E)."""
        if self.saddle is None:
            return torch.arange(1, len(modes) + 1, device=modes.device), modes
        drawn = torch.randperm(len(windows), generator=torch.Generator().manual_seed(self.seed))
        sample = windows[drawn[-max(COUNTED // len(modes), SAMPLE) :].to(windows.device)]
        return join_modes(
            modes, lambda places: count_near(places, sample, self.radius), self.radius, self.saddle
        )

    def _modes(self, points: Tensor) -> Tensor:
        """(K, E), no two within the bandwidth."""
        generator = torch.Generator().manual_seed(self.seed)
        modes, rest = points[:0], points
        for _ in range(ROUNDS):
            if not len(rest):
                break
            drawn = torch.randperm(len(rest), generator=generator)[:SAMPLE].to(points.device)
            found = self._shift(rest[drawn])
            if len(modes):
                found = found[nearest_point(found.T, modes)[0] >= self.radius]
            if not len(found):
                break
            modes = torch.cat([modes, found])
            rest = rest[nearest_point(rest.T, found)[0] >= self.radius]
        return modes

    def _shift(self, sample: Tensor) -> Tensor:
        """The modes of a sample (S, E), the densest first."""
        between = torch.cdist(sample, sample)
        seeds = apart(self._weights(between).sum(1), between, self.radius)[:MOST_SEEDS]
        modes = sample[seeds]
        for _ in range(ITERATIONS):
            weights = self._weights(torch.cdist(modes, sample))
            moved = weights @ sample / weights.sum(1, keepdim=True)
            step = (moved - modes).norm(dim=1).max()
            modes = moved
            if step < 1e-3 * self.radius:
                break
        density = self._weights(torch.cdist(modes, sample)).sum(1)
        return modes[apart(density, torch.cdist(modes, modes), self.radius)]

    def _weights(self, distances: Tensor) -> Tensor:
        if self.kernel == "flat":
            return (distances < self.radius).to(distances.dtype)
        return (distances / self.radius).square().mul(-0.5).exp()


def apart(density: Tensor, distances: Tensor, radius: float) -> Tensor:
    """Indices of points, the densest first, none within `radius` of a denser one that is taken.

    Args:
        density: (S,).
        distances: (S, S).
        radius: In units of the distances.
    """
    order = density.argsort(descending=True, stable=True)
    close = (distances < radius)[order][:, order].cpu().numpy()
    free = np.ones(len(order), bool)
    taken = []
    for place in range(len(free)):
        if free[place]:
            taken.append(place)
            free &= ~close[place]
    return order[torch.tensor(taken, dtype=torch.int64, device=order.device)]
