"""Class weights, given as numbers or taken from the training labels."""

from __future__ import annotations

import torch
from torch import Tensor


def class_weights_tensor(
    weights: list[float] | str | None, num_classes: int, counts: list[int] | None = None
) -> Tensor | None:
    """Weights (num_classes,) float32, or None for none.

    Args:
        weights: One factor a class; "auto" for 1 / ln(1.02 + frequency), of Paszke et al., ENet,
            2016 (arXiv:1606.02147), which lies between 1.4 and 50.5; None.
        num_classes: Classes of the data set.
        counts: Pixels of each class in the training labels. "auto" without them gives no weights:
            so it is outside training, where no loss is weighed.

    Raises:
        ValueError: If there are not as many weights as classes, or one is negative.
    """
    if weights == "auto":
        if counts is None:
            return None
        frequency = torch.tensor(counts, dtype=torch.float64) / max(sum(counts), 1)
        return (1 / torch.log(1.02 + frequency)).float()
    if weights is None:
        return None
    if len(weights) != num_classes:
        raise ValueError(f"class_weights has {len(weights)} numbers for {num_classes} classes")
    if min(weights) < 0:
        raise ValueError(f"class_weights holds {min(weights)}; weights are not negative")
    return torch.tensor(weights, dtype=torch.float32)
