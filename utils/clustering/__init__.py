"""Labelers: from a model's maps to a label map; importing this package registers them."""

from utils.clustering.argmax import Argmax
from utils.clustering.labeler import LABELERS, Labeler
from utils.clustering.mean_shift import MeanShift

__all__ = ["LABELERS", "Argmax", "Labeler", "MeanShift"]
