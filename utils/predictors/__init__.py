"""Predictors: from images of any size to maps of their size; importing registers them."""

from utils.predictors.multi_scale import MultiScale
from utils.predictors.predictor import PREDICTORS, Predictor
from utils.predictors.sliding import Sliding
from utils.predictors.whole import Whole

__all__ = ["PREDICTORS", "MultiScale", "Predictor", "Sliding", "Whole"]
