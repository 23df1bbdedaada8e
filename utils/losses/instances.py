"""The instances of a batch of label maps, numbered image by image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.errors import UserError
from utils.targets import INSTANCE_IGNORE


@dataclass
class Instances:
    """Instances of each image, numbered from 0 in the order of their ids; K is the most in one, 1
    at least.

    Attributes:
        index: Instance of each pixel (B, P) int64; K where there is none.
        size: Pixels of each instance (B, K) int64; 0 past an image's last.
        is_background: Whether an instance (B, K) is label 0.
    """

    index: Tensor
    size: Tensor
    is_background: Tensor

    @property
    def present(self) -> Tensor:
        """Which instances (B, K) there are."""
        return self.size > 0


def refuse_strays(ids: Tensor, *ignored: int | None) -> None:
    """Refuse negative ids that are not ignored, on the CPU; a GPU would have to be waited for.

    Args:
        ids: (B, P) int64.
        ignored: Ids whose pixels give no loss, beside -1.

    Raises:
        UserError: If there are any.
    """
    if ids.device.type != "cpu" or ids.min() >= INSTANCE_IGNORE:
        return
    strays = [i for i in ids[ids < 0].unique().tolist() if i not in (INSTANCE_IGNORE, *ignored)]
    if strays:
        raise UserError(
            f"the target holds the ids {', '.join(map(str, strays[:5]))}; ids of objects are 0 and "
            f"up, and {INSTANCE_IGNORE} where pixels give no loss; change them in the label files, "
            "or in the data set that makes them"
        )


def number_instances(ids: Tensor, counted: Tensor) -> Instances:
    """Number the instances of label maps.

    Args:
        ids: (B, P) int64; any whole numbers.
        counted: (B, P) bool; pixels outside it belong to no instance.
    """
    has_background = ((ids == 0) & counted).any(1)
    top = max(int(ids.max()) + 1, 1)
    if top > ids.shape[1]:  # a table over the ids would be larger than the maps
        ids = torch.unique(ids, return_inverse=True)[1]
        top = int(ids.max()) + 1
    ids = ids.masked_fill(~counted, top)
    seen = torch.zeros(len(ids), top + 1, dtype=torch.int64, device=ids.device).scatter_(1, ids, 1)
    number = seen[:, :top].cumsum(1)
    most = max(int(number[:, -1].max()), 1)
    number = torch.cat([number - 1, torch.full_like(seen[:, :1], most)], dim=1)
    index = number.gather(1, ids)

    image = torch.arange(len(ids), device=ids.device)[:, None] * (most + 1)
    size = torch.bincount((index + image).flatten(), minlength=len(ids) * (most + 1))
    is_background = torch.zeros(len(ids), most, dtype=torch.bool, device=ids.device)
    is_background[:, :1] = has_background[:, None]
    return Instances(index, size.view(len(ids), -1)[:, :most], is_background)


def class_of_instances(instances: Instances, semantic: Tensor, num_classes: int) -> Tensor:
    """The commonest class (B, K) of each instance's pixels; -1 where they have none.

    Args:
        instances: Of the same pixels.
        semantic: Class ids (B, P); other values than 0 to num_classes - 1 are no class.
        num_classes: Number of classes.
    """
    images, most = instances.size.shape
    image = torch.arange(images, device=semantic.device)[:, None] * (most + 1)
    place = (instances.index + image) * num_classes + semantic
    place = place[(semantic >= 0) & (semantic < num_classes)]
    votes = torch.bincount(place, minlength=images * (most + 1) * num_classes)
    count, found = votes.view(images, most + 1, num_classes)[:, :most].max(2)
    return found.masked_fill(count == 0, -1)


def mean_over_instances(values: Tensor, counted: Tensor) -> Tensor:
    """The mean over an image's counted instances, both (B, K), then over images; 0 for none."""
    return ((values * counted).sum(1) / counted.sum(1).clamp(min=1)).mean()
