"""Every data set and transform a config may name; importing this package registers them."""

from base.base_dataset import DATASETS, BaseDataset
from dataloaders.ade20k import ADE20K
from dataloaders.camvid import CamVid
from dataloaders.cityscapes import Cityscapes
from dataloaders.coco_stuff import COCOStuff
from dataloaders.combine import Concat, Repeat
from dataloaders.cvppp import CVPPP
from dataloaders.deepscene import DeepScene
from dataloaders.dsb2018 import DSB2018
from dataloaders.factory import make_dataset, make_loader, require_alike, skips_errors
from dataloaders.folder import Folder
from dataloaders.folder_instances import FolderInstances
from dataloaders.kitti_road import KITTIRoad
from dataloaders.shapes import Shapes
from dataloaders.shapes_instances import ShapesInstances
from dataloaders.transforms import TRANSFORMS
from dataloaders.tusimple import TuSimple
from dataloaders.voc import VOC

__all__ = [
    "ADE20K",
    "BaseDataset",
    "COCOStuff",
    "CVPPP",
    "CamVid",
    "Cityscapes",
    "Concat",
    "DATASETS",
    "DSB2018",
    "DeepScene",
    "Folder",
    "FolderInstances",
    "KITTIRoad",
    "Repeat",
    "Shapes",
    "ShapesInstances",
    "TRANSFORMS",
    "TuSimple",
    "VOC",
    "make_dataset",
    "make_loader",
    "require_alike",
    "skips_errors",
]
