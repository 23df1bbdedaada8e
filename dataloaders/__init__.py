"""Every data set and transform a config may name; importing this package registers them."""

from base.base_dataset import DATASETS, BaseDataset
from dataloaders.camvid import CamVid
from dataloaders.cvppp import CVPPP
from dataloaders.dsb2018 import DSB2018
from dataloaders.factory import make_dataset, make_loader, require_alike
from dataloaders.folder import Folder
from dataloaders.folder_instances import FolderInstances
from dataloaders.shapes import Shapes
from dataloaders.shapes_instances import ShapesInstances
from dataloaders.transforms import TRANSFORMS
from dataloaders.tusimple import TuSimple

__all__ = [
    "CVPPP",
    "DATASETS",
    "DSB2018",
    "TRANSFORMS",
    "BaseDataset",
    "CamVid",
    "Folder",
    "FolderInstances",
    "Shapes",
    "ShapesInstances",
    "TuSimple",
    "make_dataset",
    "make_loader",
    "require_alike",
]
