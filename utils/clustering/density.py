"""Instances as hills of the embedding's density."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from utils.clustering.ground_labeler import refuse_no_share
from utils.clustering.labeler import LABELERS
from utils.clustering.sample_labeler import SampleLabeler
from utils.clustering.spread import count_near
from utils.clustering.valleys import join_modes
from utils.clustering.windows import STRIDE


@LABELERS.register
@dataclass(kw_only=True, eq=False)
class Density(SampleLabeler):
    """Density hills over a sample of homogeneous ground: clusters of any form, for full images.

    The fast way of HDBSCAN. The density at a sampled window is the number of windows within
    delta_var. Each climbs to the densest one within delta_var; who meets on a top is one
    cluster. Two tops are one cluster too where a way between them, over windows or straight, never
    falls below `saddle` times the lower one. Few windows on a border are a low saddle, where single
    linkage, and so HDBSCAN, sees a bridge. A hill is a cluster where core_size pixels of such
    ground lie within delta_var of its top: between objects, and where the loss asks for nothing, an
    embedding stays nowhere.

    Chazal et al., Persistence-based clustering in Riemannian manifolds, 2013 (not on arXiv). There
    the difference of top and saddle decides, here their ratio: objects differ in size.

    Args:
        saddle: 0 to 1; the lower, the more tops are one cluster. Straight ways are looked at
            between tops within three times delta_var.
        core_size: Pixels of homogeneous ground around a top, at least. 0 for no such test; half
            of the size of the smallest object, keeps ground without annotation from breaking into
            objects; blurred ones have less such ground than pixels, and are lost where it is more.
    Shape:
        outputs[output] (B, E, H, W) -> (B, H, W) int64.
    Raises:
        ValueError: If saddle is outside of 0 to 1, core_size is below 0, delta_var is not above 0,
            or an argument of all labelers of embeddings is refused.
    """

    saddle: float = 0.5
    core_size: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.core_size < 0:
            raise ValueError(f"core_size is {self.core_size}; it must not be negative")
        refuse_no_share(saddle=self.saddle)

    def cluster_points(self, points: Tensor, weights: Tensor) -> Tensor:
        def density_at(places: Tensor) -> Tensor:
            return count_near(places, points, self.delta_var, weights)

        close = torch.cdist(points, points) < self.delta_var
        density = density_at(points)
        order = density.argsort(descending=True, stable=True)
        density = density[order].cpu().numpy()
        top = hills(density, close[order][:, order].cpu().numpy(), self.saddle)
        tops, names = np.unique(top, return_inverse=True)
        modes = points[order[torch.from_numpy(tops).to(order.device)]]
        joined, crowns = join_modes(modes, density_at, self.delta_var, self.saddle)
        names = joined.cpu().numpy()[names] - 1
        small = density_at(crowns) * STRIDE**2 < self.core_size
        names[small.cpu().numpy()[names]] = -1
        labels = torch.empty_like(order)
        labels[order] = torch.from_numpy(names).to(order.device)
        return labels


def hills(density: np.ndarray, close: np.ndarray, saddle: float) -> np.ndarray:
    """The top of the hill of every point, (N,).

    Args:
        density: (N,), descending.
        close: (N, N) bool, who can be climbed to from where.
        saddle: Share of the lower top's density from which a saddle makes two hills one.
    """
    top = np.arange(len(density))  # of each point seen, up to date
    for point in range(1, len(density)):
        above = np.flatnonzero(close[point, :point])
        if not len(above):
            continue
        top[point] = top[above[0]]
        met = np.unique(top[above])
        joined = met[density[met] * saddle <= density[point]]
        joined = joined[joined > met[0]]
        if len(joined):
            top[np.isin(top[: point + 1], joined).nonzero()[0]] = met[0]
    return top
