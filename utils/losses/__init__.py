"""Every loss a config may name; importing this package registers them."""

from base.base_loss import LOSSES, BaseLoss
from utils.losses.cross_entropy import CrossEntropy
from utils.losses.weighted_sum import WeightedSum

__all__ = ["LOSSES", "BaseLoss", "CrossEntropy", "WeightedSum"]
