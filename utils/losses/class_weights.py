"""Class weights, given as numbers or taken from the training labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from utils.registry import suggest


def enet(frequency: Tensor) -> Tensor:
    """1 / ln(1.02 + p), between 1.4 and 50.5: Paszke et al., ENet, 2016 (arXiv:1606.02147)."""
    return 1 / torch.log(1.02 + frequency)


def inverse(frequency: Tensor) -> Tensor:
    """1 / (C p): every class weighs the same in all; 0 for one that never occurs."""
    return torch.where(frequency > 0, 1 / (len(frequency) * frequency), 0)


def median(frequency: Tensor) -> Tensor:
    """median(p) / p over the classes that occur: Eigen and Fergus, 2015 (arXiv:1411.4734).

    p is a class's share of all pixels, not of the images that hold it; 0 for one that never occurs.
    """
    present = frequency[frequency > 0]
    middle = present.quantile(0.5) if len(present) else frequency.new_tensor(0.0)
    return torch.where(frequency > 0, middle / frequency, 0)


SCHEMES: dict[str, Callable[[Tensor], Tensor]] = {
    "auto": enet,
    "enet": enet,
    "inverse": inverse,
    "median": median,
}
WeightScheme = Literal["auto", "enet", "inverse", "median"]


def class_weights_tensor(
    weights: list[float] | str | None, num_classes: int, counts: list[int] | None = None
) -> Tensor | None:
    """Weights (num_classes,) float32, or None for none.

    Only training builds losses, and it knows the counts.

    Args:
        weights: One factor a class; a name of `SCHEMES`, "auto" being ENet's; None.
        num_classes: Classes of the data set.
        counts: Pixels of each class in the training labels, which a scheme needs.

    Raises:
        ValueError: If there are not as many weights as classes, one is negative or not finite, none
            is above zero, or a scheme has no counts.
    """
    if isinstance(weights, str):
        if weights not in SCHEMES:
            raise ValueError(f"class_weights is {weights!r}; {suggest(weights, SCHEMES)}")
        if counts is None:
            raise ValueError(
                f"class_weights is {weights!r}, which needs class_counts, the pixels of each class "
                "in the training labels; give them, or a list of numbers"
            )
        frequency = torch.tensor(counts, dtype=torch.float64) / max(sum(counts), 1)
        return SCHEMES[weights](frequency).float()
    if weights is None:
        return None
    if len(weights) != num_classes:
        raise ValueError(f"class_weights has {len(weights)} numbers for {num_classes} classes")
    tensor = torch.tensor(weights, dtype=torch.float32)
    for value, single in zip(weights, tensor.tolist(), strict=True):
        if not math.isfinite(single):
            raise ValueError(f"class_weights holds {value}; weights are finite numbers in float32")
    if min(weights) < 0:
        raise ValueError(f"class_weights holds {min(weights)}; weights are not negative")
    if not tensor.any():
        raise ValueError("class_weights sum to nothing; one must be above zero")
    return tensor


def weights_by_scheme(num_classes: int, counts: list[int]) -> dict[str, list[float]]:
    """What each scheme makes of the pixels of the classes, to four digits, for people to read."""
    names = [name for name in SCHEMES if name != "auto"]  # which is one of the others
    found = {name: class_weights_tensor(name, num_classes, counts).tolist() for name in names}
    return {name: [float(f"{weight:.4g}") for weight in each] for name, each in found.items()}
