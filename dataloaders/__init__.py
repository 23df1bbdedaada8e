"""Every data set and transform a config may name; importing this package registers them."""

from base.base_dataset import DATASETS, BaseDataset
from dataloaders.ade20k import ADE20K
from dataloaders.camvid import CamVid
from dataloaders.cityscapes import Cityscapes
from dataloaders.coco_stuff import COCOStuff
from dataloaders.combine import Concat, Repeat
from dataloaders.deepscene import DeepScene
from dataloaders.factory import make_dataset, make_loader, require_alike
from dataloaders.folder import Folder
from dataloaders.kitti_road import KITTIRoad
from dataloaders.shapes import Shapes
from dataloaders.transforms import TRANSFORMS
from dataloaders.voc import VOC

__all__ = [
    "DATASETS",
    "TRANSFORMS",
    "ADE20K",
    "BaseDataset",
    "COCOStuff",
    "CamVid",
    "Cityscapes",
    "Concat",
    "DeepScene",
    "Folder",
    "KITTIRoad",
    "Repeat",
    "Shapes",
    "VOC",
    "make_dataset",
    "make_loader",
    "require_alike",
]
