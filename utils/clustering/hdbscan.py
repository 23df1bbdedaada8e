"""HDBSCAN of every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.checks import at_least, finite
from utils.clustering.embedding_labeler import EmbeddingLabeler
from utils.clustering.labeler import LABELERS


@LABELERS.register
@dataclass(kw_only=True, eq=False)
class HDBSCAN(EmbeddingLabeler):
    """HDBSCAN of every pixel by the hdbscan package: exact, and minutes for a large image.

    Pixels that it calls noise are background. `Density` is the fast way. min_size is its
    min_cluster_size, 2 at least. Runs on the CPU.

    Campello et al., Density-based clustering based on hierarchical density estimates, 2013 (not on
    arXiv).

    Args:
        epsilon: Clusters nearer than this are not parted, in units of the embedding
            (cluster_selection_epsilon); 0, the package's default, parts all. A bridge of border
            pixels is nearer, so that objects which share a border easily become one.
        allow_single_cluster: Let all pixels be one cluster; otherwise an image, or a mask, with one
            object alone has none. Give an epsilon with it, such as delta_var: without one most
            pixels of a single cluster are noise.
    Shape:
        outputs[output] (B, E, H, W) -> (B, H, W) int64.
    Raises:
        ValueError: If epsilon is negative or no finite number, or an argument of all labelers of
            embeddings is refused.
    """

    epsilon: float = 0.0
    allow_single_cluster: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        finite(epsilon=self.epsilon)
        at_least(0, epsilon=self.epsilon)

    def cluster(self, embedding: Tensor, foreground: Tensor) -> Tensor:
        labels = torch.zeros_like(foreground, dtype=torch.int64)
        pixels = embedding[:, foreground].T
        found = hdbscan_labels(pixels, self.min_size, self.epsilon, self.allow_single_cluster)
        labels[foreground] = found + 1
        return labels


def hdbscan_labels(
    points: Tensor, min_cluster_size: int, epsilon: float, allow_single_cluster: bool
) -> Tensor:
    """The cluster of each of the points (N, E), -1 for noise."""
    from hdbscan import HDBSCAN as Exact  # slow to import, and only needed here

    min_cluster_size = max(min_cluster_size, 2)
    if len(points) <= min_cluster_size:
        return torch.full((len(points),), -1, device=points.device)
    exact = Exact(
        min_cluster_size=min_cluster_size,
        cluster_selection_epsilon=float(epsilon),
        allow_single_cluster=allow_single_cluster,
        core_dist_n_jobs=1,
    )
    found = exact.fit_predict(points.double().cpu().numpy())
    return torch.from_numpy(found.astype("int64")).to(points.device)
