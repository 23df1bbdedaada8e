"""Average precision of objects ranked by a score, in constant memory."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from utils.contingency import Contingency

LEVELS = 1001  # a score from 0 to 1 in steps of 0.001


def object_scores(logits: Tensor, found: np.ndarray, table: Contingency) -> np.ndarray:
    """Mean probability of each id of the labels, (F,), from `logits` (P,) and `found` (P,)."""
    return ndimage.mean(logits.double().sigmoid().numpy(), found, table.found_ids)


def count_ranked(scores: np.ndarray, table: Contingency, hits: np.ndarray) -> Tensor:
    """Found objects by level of their score, and those of them that match at each threshold.

    Args:
        scores: (F,) of each id of the labels.
        table: Of one image.
        hits: (N, T) bool, which pairs of objects match at each of T thresholds.

    Returns:
        (1 + T, LEVELS) int64.
    """
    levels = np.rint(scores * (LEVELS - 1)).astype(np.int64)
    places = table.objects().found
    chosen = [np.flatnonzero(table.found_ids), *(places[hit] for hit in hits.T)]
    return torch.from_numpy(np.stack([np.bincount(levels[each], None, LEVELS) for each in chosen]))


def area(counts: np.ndarray, true: int) -> np.ndarray:
    """Area under the best precision at each recall or above, for each of T thresholds.

    Objects of one level are taken in together.

    Args:
        counts: (1 + T, LEVELS), summed over images.
        true: Objects there are.

    Returns:
        (T,), NaN without a true object.
    """
    found, *matches = counts[:, ::-1].cumsum(1)
    precision = np.array(matches) / np.maximum(found, 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    steps = np.diff(matches, prepend=0, axis=1)
    return (best * steps).sum(1) / true if true else np.full(len(steps), np.nan)
