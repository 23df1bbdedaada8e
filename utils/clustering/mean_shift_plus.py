"""Mean shift whose near hills are one instance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.clustering.ground_labeler import refuse_not_positive
from utils.clustering.labeler import LABELERS
from utils.clustering.mean_shift import MeanShift


@LABELERS.register
@dataclass(kw_only=True, eq=False)
class MeanShiftPlus(MeanShift):
    """Mean shift, then hills whose tops are nearer than delta_dist are one instance.

    From the one with most pixels down, each joins the nearest one accepted before it if that is
    nearer than delta_dist, and is accepted otherwise. For instances that the embedding pulls
    apart, as large objects inside a semantic mask.

    Wolny et al., Sparse object-level supervision for instance segmentation with pixel embeddings,
    2022 (arXiv:2103.14572). There modes are joined so, with no regard to valleys: "saddle": null.

    Args:
        delta_dist: In units of the embedding; a discriminative loss, which pushes means to twice
            of it, tells its own.
    Shape:
        outputs[output] (B, E, H, W) -> (B, H, W) int64.
    Raises:
        ValueError: If delta_dist is not above the bandwidth, or an argument of MeanShift
            is refused.
    """

    delta_dist: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_not_positive(delta_dist=self.delta_dist)
        if self.delta_dist <= self.radius:
            raise ValueError(
                f"delta_dist is {self.delta_dist} and the bandwidth {self.radius}; modes within "
                "the bandwidth are one already, so nothing would be joined: raise delta_dist, or "
                "take MeanShift"
            )

    def objects(self, tops: Tensor, sizes: Tensor) -> Tensor:
        owners = torch.zeros(len(tops), dtype=torch.int64)
        distances = torch.cdist(tops, tops).cpu()
        accepted: list[int] = []
        order = sizes.argsort(descending=True, stable=True)
        for hill in order[sizes[order] > 0].tolist():
            nearest = min(accepted, key=lambda other: distances[hill, other], default=None)
            if nearest is None or distances[hill, nearest] >= self.delta_dist:
                accepted.append(hill)
                nearest = hill
            owners[hill] = accepted.index(nearest) + 1
        return owners.to(tops.device)
