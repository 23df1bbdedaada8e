"""DBSCAN over a sample of homogeneous ground."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.clustering.ground_labeler import refuse_not_positive
from utils.clustering.labeler import LABELERS
from utils.clustering.sample_labeler import SampleLabeler


@LABELERS.register
@dataclass(kw_only=True, eq=False)
class DBSCAN(SampleLabeler):
    """scikit-learn's DBSCAN over a sample of homogeneous ground: what is linked is one cluster.

    Two windows are linked if they are nearer than eps and one of them has min_samples windows
    within eps. Of every pixel, the neighbours would not fit into memory. A few windows on a border
    can link two objects; `Density` does not fall for that. Pixels on what DBSCAN calls noise go to
    the nearest object.

    Ester et al., A density-based algorithm for discovering clusters in large spatial databases with
    noise, 1996 (not on arXiv).

    Args:
        eps: Reach in units of the embedding; delta_var where it is not given.
        min_samples: Windows, itself among them.
    Shape:
        outputs[output] (B, E, H, W) -> (B, H, W) int64.
    Raises:
        ValueError: If eps or delta_var is not above 0, min_samples is below 1, or an argument of
            all labelers of embeddings is refused.
    """

    eps: float | None = None
    min_samples: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_not_positive(eps=self.eps)
        if self.min_samples < 1:
            raise ValueError(f"min_samples is {self.min_samples}; one or more are needed")

    def cluster_points(self, points: Tensor, weights: Tensor) -> Tensor:
        from sklearn.cluster import DBSCAN as Linked  # slow to import, and only needed here

        eps = self.delta_var if self.eps is None else self.eps
        found = Linked(eps=eps, min_samples=self.min_samples).fit_predict(
            points.cpu().numpy(), sample_weight=weights.cpu().numpy()
        )
        return torch.from_numpy(found.astype("int64")).to(points.device)
