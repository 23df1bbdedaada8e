"""Embeddings from a few annotated objects: SPOCO."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Literal

from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.checks import finite
from utils.errors import UserError
from utils.losses.affinity import affinity_cost
from utils.losses.anchors import choose_anchors
from utils.losses.discriminative import Discriminative
from utils.losses.instances import Instances, mean_over_instances, number_instances, refuse_strays
from utils.losses.pieces import Around, sum_over_pixels
from utils.losses.push import Nearness
from utils.losses.soft_masks import SoftMasks


@LOSSES.register
class Spoco(BaseLoss):
    """Sparse object-level supervision: instances of which only some are annotated.

    Wolny et al., Sparse Object-level Supervision for Instance Segmentation with Pixel Embeddings,
    2022 (arXiv:2103.14572). Label 0 is unlabelled: it may hold anything. The terms, each with its
    factor, a mean over the images of a batch:

    pull, push, norm: as in Discriminative, over the annotated instances;
    unlabelled: every mean pushes the unlabelled pixels, as its background "push";
    instance: soft masks exp(-d^2 / s) around the means against the annotated masks;
    consistency: soft masks around random unlabelled pixels against the teacher's around the same,
    over the unlabelled region, where the model gives the output "teacher" (MeanTeacher).

    Unlike the published code, every term is a mean over images, and masks are compared one by one.

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss, -1 in instance maps.
        embedding_dim: Channels of the embedding.
        delta_var: Radius around a mean within which a pixel is not pulled.
        delta_dist: Half the distance from which on two means do not push each other.
        alpha: Factor on pull.
        beta: Factor on push.
        gamma: Factor on norm.
        unlabelled: Label 0 means unlabelled; else, under full supervision, it is background, an
            instance like the others for pull and push, without a soft mask.
        unlabelled_push: Factor on unlabelled.
        instance_weight: Factor on instance.
        instance_loss: How masks are compared: "dice", "bce", or "affinity", pairs of pixels in
            place of soft masks; consistency is then by Dice.
        pooled: Dice over all masks of an image as one, in which large objects weigh more.
        kernel_threshold: Value of a soft mask at the distance delta_var, between 0 and 1.
        consistency_weight: Factor on consistency.
        consistency_only: Pre-training without labels: consistency alone, over the whole image.
        max_anchors: Random pixels of an image at most.
        uncovered: Share of the region, outside the delta_var of all of them, that may be left.
        joint_loss: Adds pull, push and norm of the teacher's output under "teacher_<name>". A
            MeanTeacher has no gradient: they only show how well it follows, and raise the sum.
        ignore_label: A further label whose pixels give no loss.
        aux_weight: Factor on the auxiliary head's terms; consistency is none of them.
    Shape:
        prediction (B, E, H, W), target (B, H, W) of any ids from 0 up, teacher (B, E, H, W)
        -> {"pull", "push", "norm", "unlabelled", "instance", "consistency": scalars}, those whose
        factor is 0 left out.
    Raises:
        ValueError: If an argument is out of range.
        UserError: If consistency finds no teacher; from a step on the CPU, if an id is negative and
            not ignored.
    """

    target: ClassVar[str] = "instance"
    reads: ClassVar[tuple[str, ...]] = ("teacher",)
    labeler: ClassVar[dict] = {"type": "Consistency"}
    metric: ClassVar[dict] = {"type": "InstanceScores"}
    tells_labeler: ClassVar[tuple[str, ...]] = ("delta_var", "delta_dist")

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        embedding_dim: int = 16,
        delta_var: float = 0.5,
        delta_dist: float = 2.0,
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 0.001,
        unlabelled: bool = True,
        unlabelled_push: float = 1.0,
        instance_weight: float = 1.0,
        instance_loss: Literal["dice", "bce", "affinity"] = "dice",
        pooled: bool = False,
        kernel_threshold: float = 0.5,
        consistency_weight: float = 1.0,
        consistency_only: bool = False,
        max_anchors: int = 20,
        uncovered: float = 0.05,
        joint_loss: bool = False,
        ignore_label: int | None = None,
        aux_weight: float = 0.4,
    ):
        super().__init__(num_classes, ignore_index, 0 if consistency_only else aux_weight)
        args = (embedding_dim, delta_var, delta_dist, alpha, beta, gamma)
        self.discriminative = Discriminative(num_classes, ignore_index, *args)
        factors = {
            "unlabelled_push": unlabelled_push,
            "instance_weight": instance_weight,
            "consistency_weight": consistency_weight,
        }
        finite(**factors)
        for name, value in factors.items():
            if value < 0:
                raise ValueError(f"{name} is {value}; it must not be negative")
        if delta_var == 0:
            raise ValueError("delta_var is 0; soft masks need a radius above zero")
        if not 0 < kernel_threshold < 1:
            raise ValueError(f"kernel_threshold is {kernel_threshold}; it lies between 0 and 1")
        if max_anchors < 1:
            raise ValueError(f"max_anchors is {max_anchors}; 1 is the least")
        if not 0 <= uncovered < 1:
            raise ValueError(f"uncovered is {uncovered}; it goes from 0 to just below 1")
        if ignore_label is not None and ignore_label < 0:
            raise ValueError(f"ignore_label is {ignore_label}; what is below 0 is ignored already")
        if ignore_label == 0 and unlabelled:
            raise ValueError(
                "ignore_label is 0, which is what unlabelled pixels have; leave it out, or set "
                "unlabelled to false"
            )
        self.out_channels = embedding_dim
        self.delta_var, self.delta_dist = delta_var, delta_dist
        self.unlabelled, self.unlabelled_push = unlabelled, unlabelled_push
        self.instance_weight, self.instance_loss = instance_weight, instance_loss
        self.consistency_weight, self.consistency_only = consistency_weight, consistency_only
        self.max_anchors, self.uncovered = max_anchors, uncovered
        self.joint_loss, self.ignore_label = joint_loss, ignore_label
        by = "dice" if instance_loss == "affinity" else instance_loss
        self.masks = SoftMasks(delta_var, kernel_threshold, by, pooled)

    def check_outputs(self, given: Collection[str]) -> None:
        consistent = self.consistency_only or (self.unlabelled and self.consistency_weight)
        if self.joint_loss and "teacher" not in given:
            raise UserError(
                'joint_loss scores the output "teacher" too, which the model does not give; leave '
                'it out, or put the model into {"type": "MeanTeacher", "args": {"model": ...}}'
            )
        if consistent and "teacher" not in given:
            off = "" if self.consistency_only else ', or set the loss\'s "consistency_weight" to 0'
            raise UserError(
                'the consistency term of Spoco compares with the output "teacher", which the model '
                'does not give; put it into {"type": "MeanTeacher", "args": {"model": ...}}, with '
                f'"trainer": {{"type": "MeanTeacherTrainer"}}{off}'
            )

    def terms(
        self, prediction: Tensor, target: Tensor, teacher: Tensor | None = None
    ) -> dict[str, Tensor]:
        x, ids = prediction.flatten(2), target.flatten(1)
        refuse_strays(ids, self.ignore_index)
        counted = (ids >= 0) & (ids != self.ignore_index)
        if self.ignore_label is not None:
            counted = counted & (ids != self.ignore_label)
        seen = None if teacher is None else teacher.detach().flatten(2)
        if self.consistency_only:
            if seen is None:
                self.check_outputs(())
            around, chosen = self.consistency(x, seen, counted)
            (sums,) = sum_over_pixels(x, [around])
            return {"consistency": self.consistency_weight * self.masks.mean(sums, chosen)}

        region = counted & (ids == 0) if self.unlabelled else counted.new_zeros(counted.shape)
        instances = number_instances(ids, counted & ~region)
        means, terms = self.discriminative.contrast(x, instances)
        costs = {}
        if self.unlabelled and self.unlabelled_push:
            near = Nearness(self.delta_dist, region)
            costs["unlabelled"] = Around(near, means)
        if self.instance_weight and self.instance_loss != "affinity":
            costs["instance"] = self.masks.around_means(means, instances, counted)
        if self.unlabelled and self.consistency_weight and seen is not None:
            costs["consistency"], chosen = self.consistency(x, seen, region)
        sums = dict(zip(costs, sum_over_pixels(x, list(costs.values())), strict=True))
        if "unlabelled" in sums:
            pushed = mean_over_instances(near.mean(sums["unlabelled"]), instances.present)
            terms["unlabelled"] = self.unlabelled_push * pushed
        if "instance" in sums:
            objects = instances.present & ~instances.is_background
            terms["instance"] = self.instance_weight * self.masks.mean(sums["instance"], objects)
        elif self.instance_weight:
            pairs = self.affinity(prediction, instances, counted)
            terms["instance"] = self.instance_weight * pairs
        if "consistency" in sums:
            same = self.masks.mean(sums["consistency"], chosen)
            terms["consistency"] = self.consistency_weight * same
        if self.joint_loss:
            _, theirs = self.discriminative.contrast(seen, instances)
            terms |= {f"teacher_{name}": term for name, term in theirs.items()}
        return terms

    def affinity(self, prediction: Tensor, instances: Instances, counted: Tensor) -> Tensor:
        """What pairs of pixels cost, of embeddings (B, E, H, W)."""
        size = prediction.shape[2:]
        known = instances.index < instances.size.shape[1]
        maps = (m.unflatten(1, size) for m in (instances.index, known, counted))
        return affinity_cost(prediction, *maps, far=2 * self.delta_dist)

    def consistency(self, x: Tensor, teacher: Tensor, region: Tensor) -> tuple[Around, Tensor]:
        """Masks around anchors in a region (B, P), and which anchors there are."""
        limits = (self.delta_var, self.max_anchors, self.uncovered)
        pixels, chosen = choose_anchors((x, teacher), region, *limits)
        return self.masks.around_pixels(pixels, teacher, region), chosen
