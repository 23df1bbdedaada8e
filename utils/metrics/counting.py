"""What metrics share: counting pixels without waiting for the device, and refusing bad maps."""

from __future__ import annotations

import torch
from torch import Tensor

from utils.errors import UserError

UNIT = 2**40  # scores of images are summed as integers, so that their order does not matter


def check_maps(labels: Tensor, target: Tensor) -> None:
    """Refuse maps that do not belong together.

    Raises:
        ValueError: If they are not both (B, H, W) int64.
    """
    if labels.ndim != 3 or labels.shape != target.shape:
        raise ValueError(
            f"labels are {tuple(labels.shape)} and the target is {tuple(target.shape)}; expected "
            "(B, H, W) for both, at the size of the labels"
        )
    if labels.dtype != torch.int64 or target.dtype != torch.int64:
        raise ValueError(f"labels are {labels.dtype}, the target {target.dtype}; expected int64")


def refuse_class(ignore_index: int, num_classes: int) -> None:
    """Refuse an ignored value that is a class.

    Raises:
        ValueError: If it is.
    """
    if 0 <= ignore_index < num_classes:
        raise ValueError(
            f"ignore_index is {ignore_index}, which is a class: they are 0 to {num_classes - 1}"
        )


def count_cells(cells: Tensor, bins: int) -> Tensor:
    """How often each number from 0 to `bins` - 1 occurs in `cells`, all of them in that range.

    Returns:
        (bins,) int64 on the device of `cells`.
    """
    if cells.is_cuda:  # bincount waits there for the largest number; histc is told it
        return torch.histc(cells, bins, min=0, max=bins)
    return torch.bincount(cells.flatten(), minlength=bins)


def is_outside(labels: Tensor, num_classes: int) -> Tensor:
    """Where `labels` name no class."""
    return (labels < 0) | (labels >= num_classes)


def refuse_outside(pixels: int, num_classes: int, ignore_index: int) -> None:
    """Refuse to score maps with such labels.

    Args:
        pixels: How many were seen.
        num_classes: Classes there are.
        ignore_index: Target value that is allowed besides.

    Raises:
        UserError: If there are any.
    """
    if pixels:
        raise UserError(
            f"{pixels} pixels have a label or a target that is none of the {num_classes} classes, "
            f"0 to {num_classes - 1}, nor ignored ({ignore_index}); where it is the target's, "
            "train.py --check names the files"
        )


def refuse_negative(pixels: int, ignore_index: int) -> None:
    """Refuse to score object maps with negative ids.

    Args:
        pixels: How many were seen.
        ignore_index: Target value that is allowed besides.

    Raises:
        UserError: If there are any.
    """
    if pixels:
        raise UserError(
            f"{pixels} pixels have a negative id in the labels or the target; objects are 1 and "
            f"above, background is 0, and {ignore_index} is ignored in the target"
        )
