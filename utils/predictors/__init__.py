"""Predictors: from images of any size to maps of their size; importing registers them."""

from utils.predictors.predictor import PREDICTORS, Predictor
from utils.predictors.whole import Whole

__all__ = ["PREDICTORS", "Predictor", "Whole"]
