"""Labelers: from a model's maps to a label map; importing this package registers them."""

from utils.clustering.argmax import Argmax
from utils.clustering.consistency import Consistency
from utils.clustering.dbscan import DBSCAN
from utils.clustering.density import Density
from utils.clustering.hdbscan import HDBSCAN
from utils.clustering.labeler import LABELERS, Labeler
from utils.clustering.mean_shift import MeanShift
from utils.clustering.mean_shift_plus import MeanShiftPlus
from utils.clustering.seeded import Seeded

__all__ = [
    "DBSCAN",
    "HDBSCAN",
    "LABELERS",
    "Argmax",
    "Consistency",
    "Density",
    "Labeler",
    "MeanShift",
    "MeanShiftPlus",
    "Seeded",
]
