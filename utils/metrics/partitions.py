"""How far two partitions of an image's pixels agree, whichever part answers to which."""

from __future__ import annotations

import numpy as np

from utils.contingency import Contingency


def adapted_rand_error(table: Contingency) -> float:
    """1 - F-score of the pairs of pixels of true objects that share a found object."""
    pairs = table.objects()
    truth = table.truth_sizes[table.truth_ids != 0]
    together = count_pairs(pairs.pixels)
    whole = count_pairs(truth) + count_pairs(pairs.found_sizes)
    return 1 - 2 * together / whole if whole else float("nan")


def count_pairs(sizes: np.ndarray) -> float:
    """Ordered pairs of two pixels within sets of such sizes."""
    return float((sizes.astype(float) * (sizes - 1)).sum())


def variation(table: Contingency) -> tuple[float, float]:
    """Variation of information: H(found | truth), H(truth | found), in bits."""
    share = table.pixels / table.pixels.sum()
    split = share @ np.log2(table.truth_sizes[table.truth] / table.pixels)
    merge = share @ np.log2(table.found_sizes[table.found] / table.pixels)
    return float(split), float(merge)
