"""Every data set and transform a config may name; importing this package registers them."""

from base.base_dataset import DATASETS, BaseDataset
from dataloaders.camvid import CamVid
from dataloaders.factory import make_dataset, make_loader, require_alike
from dataloaders.folder import Folder
from dataloaders.shapes import Shapes
from dataloaders.transforms import TRANSFORMS

__all__ = [
    "DATASETS",
    "TRANSFORMS",
    "BaseDataset",
    "CamVid",
    "Folder",
    "Shapes",
    "make_dataset",
    "make_loader",
    "require_alike",
]
