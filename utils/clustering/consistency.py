"""Instances on which a network and its moving average agree."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.clustering.ground_labeler import refuse_no_share
from utils.clustering.labeler import LABELERS
from utils.clustering.mean_shift import MeanShift
from utils.clustering.spread import count_near


@LABELERS.register
@dataclass(kw_only=True, eq=False)
class Consistency(MeanShift):
    """Mean shift on the network's embedding, of which the clusters are kept that its moving average
    confirms.

    Around pixels drawn from a cluster, the moving average's embedding gives a mask each: the pixels
    of the foreground within the bandwidth of it. The cluster is kept if the median IoU of these
    masks with it passes the threshold, and is background otherwise.

    Wolny et al., Sparse object-level supervision for instance segmentation with pixel embeddings,
    2022 (arXiv:2103.14572). Here the largest cluster goes before the test, pixels are drawn from a
    seed, and a semantic foreground is honoured.

    Args:
        saddle: As for MeanShift, but None: the cluster of one mode is as wide as the masks, a hill
            of several is wider than any.
        teacher: Name of the moving average's embedding among the outputs.
        iou_threshold: 0 to 1.
        anchors: Pixels drawn from a cluster.
    Shape:
        outputs[output] and outputs[teacher] (B, E, H, W) -> (B, H, W) int64.
    Raises:
        ValueError: If iou_threshold is outside of 0 to 1, anchors below 1, or an argument of
            MeanShift is refused.
    """

    saddle: float | None = None
    teacher: str = "teacher"
    iou_threshold: float = 0.6
    anchors: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_no_share(iou_threshold=self.iou_threshold)
        if self.anchors < 1:
            raise ValueError(f"anchors is {self.anchors}; one or more are needed")

    def reads(self) -> list[str]:
        return [self.output, self.teacher]

    def kept(self, labels: Tensor, foreground: Tensor, maps: dict[str, Tensor]) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        pixels = maps[self.teacher][:, foreground].T  # (P, E)
        flat = labels[foreground]
        kept = labels
        for label in labels.unique():
            if label == 0:
                continue
            cluster = flat == label
            members = cluster.nonzero()[:, 0]
            drawn = torch.randperm(len(members), generator=generator)[: self.anchors]
            anchors = pixels[members[drawn.to(members.device)]]
            if not agrees(pixels, anchors, cluster, self.radius, self.iou_threshold):
                kept = kept.masked_fill(labels == label, 0)
        return kept


def agrees(
    pixels: Tensor, anchors: Tensor, cluster: Tensor, radius: float, threshold: float
) -> bool:
    """The median IoU of `cluster` with the pixels near an anchor is `threshold` or more.

    Args:
        pixels: (P, E).
        anchors: (A, E), some pixels of the cluster.
        cluster: (P,) bool.
        radius: Of what is near.
        threshold: 0 to 1.
    """
    own, others = pixels[cluster], pixels[~cluster]
    shared = count_near(anchors, own, radius)  # (A,)
    for step in (64, 8, 1):  # some pixels bound the union from below and refute most
        union = len(own) + count_near(anchors, others[::step], radius)
        if (shared / union).quantile(0.5) < threshold:
            return False
    return True
