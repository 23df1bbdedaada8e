"""The promises: one abstract class and its registry per file."""

from base.base_dataloader import BaseDataLoader
from base.base_dataset import DATASETS, BaseDataset
from base.base_loss import LOSSES, BaseLoss
from base.base_metric import METRICS, BaseMetric
from base.base_model import MODELS, BaseModel
from base.base_trainer import TRAINERS, BaseTrainer
from base.base_transform import TRANSFORMS, BaseTransform

__all__ = [
    "DATASETS",
    "LOSSES",
    "METRICS",
    "MODELS",
    "TRAINERS",
    "TRANSFORMS",
    "BaseDataLoader",
    "BaseDataset",
    "BaseLoss",
    "BaseMetric",
    "BaseModel",
    "BaseTrainer",
    "BaseTransform",
]
