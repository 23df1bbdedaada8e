"""Every loss a config may name; importing this package registers them."""

from base.base_loss import LOSSES, BaseLoss
from utils.losses.bce import BCE
from utils.losses.bce_dice import BCEDice
from utils.losses.boundary import Boundary
from utils.losses.ce_dice import CEDice
from utils.losses.cross_entropy import CrossEntropy
from utils.losses.dice import Dice
from utils.losses.discriminative import Discriminative
from utils.losses.focal import Focal
from utils.losses.jaccard import Jaccard
from utils.losses.lovasz import LovaszSoftmax
from utils.losses.ohem import OhemCrossEntropy
from utils.losses.spoco import Spoco
from utils.losses.tversky import Tversky
from utils.losses.weighted_sum import WeightedSum

__all__ = [
    "BCE",
    "LOSSES",
    "BCEDice",
    "BaseLoss",
    "Boundary",
    "CEDice",
    "CrossEntropy",
    "Dice",
    "Discriminative",
    "Focal",
    "Jaccard",
    "LovaszSoftmax",
    "OhemCrossEntropy",
    "Spoco",
    "Tversky",
    "WeightedSum",
]
