"""Embeddings of one instance together, those of different instances apart."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from base.base_loss import LOSSES, BaseLoss
from utils.checks import finite
from utils.losses.instance_means import means_and_pull
from utils.losses.instances import (
    Instances,
    class_of_instances,
    mean_over_instances,
    number_instances,
    refuse_strays,
)
from utils.losses.push import push_means, push_pixels


@LOSSES.register
class Discriminative(BaseLoss):
    """The discriminative loss: pixels are pulled to their instance's mean, means push each other.

    De Brabandere et al., Semantic Instance Segmentation with a Discriminative Loss Function, 2017
    (arXiv:1708.02551). With the mean mu of each of an image's C instances,
    pull = 1/C sum_c 1/|c| sum_i max(0, ||x_i - mu_c|| - delta_var)^2,
    push = 1/(C (C - 1)) sum_{a != b} max(0, 2 delta_dist - ||mu_a - mu_b||)^2,
    norm = 1/C sum_c ||mu_c||; the mean over the images of a batch, each term under its name.

    The paper's networks see the foreground alone, which is `background` "ignore".

    Args:
        num_classes: Classes of the data set.
        ignore_index: Target value that gives no loss, -1 in instance maps.
        embedding_dim: Channels of the embedding; more for more objects that touch.
        delta_var: Radius around a mean within which a pixel is not pulled.
        delta_dist: Half the distance from which on two means do not push each other.
        alpha: Factor on pull.
        beta: Factor on push.
        gamma: Factor on norm.
        norm: 1 or 2, the norm of all distances.
        background: Label 0 is "instance", one like the others; "ignore", no pixels that count; or
            "push", pixels that every mean pushes away, by the mean over means and pixels of
            max(0, delta_dist - ||x - mu||)^2 as the term `background`.
        background_weight: Factor on the pull of label 0 where it is an instance; it has most pixels
            and one share of the mean. 20 or more for small objects that come out with a rim.
        per_class: Only instances of one class push each other; reads the target "semantic" too. An
            instance's class is that of most of its pixels.
        aux_weight: Factor on the auxiliary head's terms.
    Shape:
        prediction (B, E, H, W), target (B, H, W) of any ids from 0 up
        -> {"pull": scalar, "push": scalar, "norm": scalar}.
    Raises:
        ValueError: If embedding_dim is below 2, a delta or factor is negative or not finite,
            delta_dist is not above delta_var, "push" is asked for with norm 1, or a
            background_weight with another background than "instance".
        UserError: From a step on the CPU, if an id is negative and not ignored.
    """

    target: ClassVar[str] = "instance"
    labeler: ClassVar[dict] = {"type": "MeanShift"}
    metric: ClassVar[dict] = {"type": "InstanceScores"}
    tells_labeler: ClassVar[tuple[str, ...]] = ("delta_var", "delta_dist")

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        embedding_dim: int = 8,
        delta_var: float = 0.5,
        delta_dist: float = 1.5,
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 0.001,
        norm: Literal[1, 2] = 2,
        background: Literal["instance", "ignore", "push"] = "instance",
        background_weight: float = 1.0,
        per_class: bool = False,
        aux_weight: float = 0.4,
    ):
        super().__init__(num_classes, ignore_index, aux_weight)
        if embedding_dim < 2:
            raise ValueError(
                f"embedding_dim is {embedding_dim}; instances keep apart in 2 channels or more"
            )
        factors = {"delta_var": delta_var, "alpha": alpha, "beta": beta, "gamma": gamma}
        factors["background_weight"] = background_weight
        finite(delta_dist=delta_dist, **factors)
        for name, value in factors.items():
            if value < 0:
                raise ValueError(f"{name} is {value}; it must not be negative")
        if delta_dist <= delta_var:
            raise ValueError(
                f"delta_dist is {delta_dist} and delta_var {delta_var}; with delta_dist not above "
                "delta_var two instances overlap however well they are learnt: raise delta_dist"
            )
        if background_weight != 1 and background != "instance":
            raise ValueError(
                f'background_weight is {background_weight}, and background is "{background}", '
                'which has no pull; set background to "instance", or leave the weight out'
            )
        if background == "push" and norm == 1:
            raise ValueError('background "push" measures with norm 2; leave norm at 2')
        self.out_channels = embedding_dim
        self.delta_var, self.delta_dist, self.norm = delta_var, delta_dist, norm
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.background, self.background_weight = background, background_weight
        self.maps = ("semantic",) if per_class else ()

    def terms(
        self, prediction: Tensor, target: Tensor, semantic: Tensor | None = None
    ) -> dict[str, Tensor]:
        x, ids = prediction.flatten(2), target.flatten(1)
        refuse_strays(ids, self.ignore_index)
        counted = (ids >= 0) & (ids != self.ignore_index)
        background = counted & (ids == 0)
        if self.background != "instance":
            counted = counted & ~background
        instances = number_instances(ids, counted)
        classes = None
        if semantic is not None:
            classes = class_of_instances(instances, semantic.flatten(1), self.num_classes)
        means, terms = self.contrast(x, instances, classes)
        if self.background == "push":
            pushed = push_pixels(x, means, background, self.delta_dist)
            terms["background"] = self.beta * mean_over_instances(pushed, instances.present)
        return terms

    def contrast(
        self, x: Tensor, instances: Instances, classes: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Means (B, E, K) of embeddings (B, E, P), and what they and their pixels cost.

        Args:
            x: Embeddings.
            instances: Of the same pixels.
            classes: Class of each instance (B, K); only equal ones push each other.
        """
        present = instances.present
        means, pull = means_and_pull(x, instances, self.delta_var, self.norm)
        pull = torch.where(instances.is_background, self.background_weight * pull, pull)
        pairs = present[:, :, None] & present[:, None]
        if classes is not None:
            pairs = pairs & (classes[:, :, None] == classes[:, None])
        push = push_means(means, pairs, 2 * self.delta_dist, self.norm)
        norm = means.norm(self.norm, dim=1)
        return means, {
            "pull": self.alpha * mean_over_instances(pull, present),
            "push": self.beta * push,
            "norm": self.gamma * mean_over_instances(norm, present),
        }
