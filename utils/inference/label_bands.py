"""Label maps of images whose outputs would not fit into memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from utils.clustering import Labeler
from utils.errors import UserError
from utils.normalization import Normalization
from utils.predictors import Predictor


def label_in_bands(
    image: np.ndarray,
    normalization: Normalization,
    model: nn.Module,
    predictor: Predictor,
    labeler: Labeler,
    device: torch.device,
    highest: int,
    folder: Path,
) -> np.ndarray:
    """The label map of an image, (H, W) uint8 or uint16, read-only, mapped from a nameless file.

    The labels are those of the image in one piece: the same windows in the same batches, labelled
    as soon as a band of rows is done.

    Args:
        image: (H, W, C) uint8 or uint16.
        normalization: From its values to the model's.
        model: In evaluation mode.
        predictor: One that has `bands`.
        labeler: One that is `pixelwise`.
        device: Where the model is.
        highest: The highest label.
        folder: Where the file lies until the map is let go of.

    Raises:
        UserError: If the file cannot be written, as on a full disk.
    """
    normalize = normalization.of(image)
    dtype = np.uint8 if highest < 256 else np.uint16
    height, width = image.shape[:2]
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            bands = predictor.bands(
                model, lambda a, b: normalize(image[a:b])[None].to(device), height, width
            )
            for _, outputs in bands:
                file.write(labeler(outputs)[0].cpu().numpy().astype(dtype).tobytes())
            file.flush()
            return np.memmap(file, dtype, "r", shape=(height, width))
    except OSError as error:
        raise UserError(
            f"{folder} cannot hold the {height * width * dtype().itemsize:,} bytes that labels of "
            f"{width}x{height} pixels need meanwhile: {error.strerror or error}"
        ) from error
