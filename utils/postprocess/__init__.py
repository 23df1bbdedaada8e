"""Post-processing of label maps by name; a config's `postprocess` lists sections of these."""

from utils.postprocess.components import FillHoles, KeepLargest, RemoveSmall
from utils.postprocess.postprocessor import POSTPROCESSORS, Postprocessor
from utils.postprocess.smooth_boundary import SmoothBoundary
from utils.postprocess.threshold import Threshold

__all__ = [
    "POSTPROCESSORS",
    "FillHoles",
    "KeepLargest",
    "Postprocessor",
    "RemoveSmall",
    "SmoothBoundary",
    "Threshold",
]
