"""Labelers that cluster a sample of homogeneous ground and carry the result to every pixel."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.clustering.borders import is_object
from utils.clustering.ground_labeler import GroundLabeler
from utils.clustering.spread import nearest_point, onto_image, owner_of
from utils.clustering.windows import homogeneous_windows

SAMPLE = 1024  # windows drawn from all
UNLIKE = 1024  # at most, from those unlike each of them
SPOKESMEN = 16  # of a cluster: a pixel takes the cluster of the nearest


@dataclass(kw_only=True, eq=False)
class SampleLabeler(GroundLabeler):
    """A clustering of a sample of 3x3 windows that no border runs through.

    Windows farther than delta_var from the sample are sampled as well, so that small objects take
    part; each of the sample weighs as many windows as it is the nearest of. Every pixel goes to the
    cluster of the nearest sampled window; those farther than delta_var from all lie on borders. A
    subclass writes `cluster_points`.
    """

    @abstractmethod
    def cluster_points(self, points: Tensor, weights: Tensor) -> Tensor:
        """The cluster (N,) int64 of each of the points (N, E), from 0, or -1 for none.

        Args:
            points: (N, E) float32.
            weights: (N,) int64, windows that each stands for.
        """

    def cluster(self, embedding: Tensor, foreground: Tensor) -> Tensor:
        windows, ground = homogeneous_windows(embedding, foreground, self.delta_var)
        points, weights = self._sample(windows)
        found = self.cluster_points(points, weights) if len(points) else weights - 1
        points, found = points[found >= 0], found[found >= 0]
        if not len(points):
            return torch.zeros_like(foreground, dtype=torch.int64)
        speak = first_of_each(found, SPOKESMEN)
        points, owners = points[speak], found[speak] + 1
        owned = owner_of(embedding[:, foreground], points, owners, self.delta_var)
        owned = owned * is_object(windows, points, owners, owned, self.delta_var)[owned]
        return onto_image(owned, foreground, ground, self.border)

    def _sample(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Points (N, E) and how many of the windows each stands for (N,)."""
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(windows), generator=generator).to(windows.device)
        windows = windows[order]
        sample = windows[:SAMPLE]
        if not len(sample):
            return sample, order
        distance, nearest = nearest_point(windows.T, sample)
        unlike = windows[distance >= self.delta_var]
        weights = nearest[distance < self.delta_var].bincount(minlength=len(sample))
        if len(unlike):
            more = unlike[:UNLIKE]
            extra = nearest_point(unlike.T, more)[1].bincount(minlength=len(more))
            sample, weights = torch.cat([sample, more]), torch.cat([weights, extra])
        return sample, weights


def first_of_each(owners: Tensor, count: int) -> Tensor:
    """Indices of the first `count` points of every owner."""
    order = owners.argsort(stable=True)
    sorted_owners = owners[order]
    starts = torch.searchsorted(sorted_owners, sorted_owners)
    place = torch.arange(len(owners), device=owners.device) - starts
    return order[place < count]
