"""Any instance data of one's own: images and label files that mark each object."""

from __future__ import annotations

import numpy as np

from base.base_dataset import DATASETS
from dataloaders.files import find_data_dir
from dataloaders.instance_dataset import InstanceDataset
from dataloaders.instance_labels import Target, target_maps
from dataloaders.listing import list_pairs
from dataloaders.palettes import distinct_colours
from utils.image_io import IMAGE_SUFFIXES
from utils.sample import Entry, Sample


@DATASETS.register
class FolderInstances(InstanceDataset):
    """Images with one number, palette index or colour for each object, in folders of your own.

    Images and labels are paired by equal stems, or by the lines of a list file. In `images`,
    `labels` and `list`, `{split}` stands for the split. Label files are 8 or 16 bit PNG or TIFF,
    palette PNG, RGB colours, or `.npy` arrays; 0 and black are background, -1 is ignored.

    Args:
        data_dir: Folder of the data set.
        split: Part of the data set: with the default `images` and `labels`, `<split>/images` or
            `images/<split>`; without it, `images`.
        images: Folder of the images, or a pattern such as "*/{split}/*_image.png", below data_dir.
        labels: Likewise for the label files; with patterns, what the stars stand for pairs the two.
            null for images without any: every pixel is 0, unlabelled.
        list: Text file below data_dir, an image path and a label path a line, in place of folders;
            a tab stands between them where one has a space.
        classes: Names of the background and of the objects, all of one class.
        target: "instance" for ids, "semantic" for background and object, or "both".
        instance_ratio: Share of the objects of each image whose ids are kept, above 0 and up to 1;
            the others become 0, unlabelled. The semantic target always shows them all.
        sample_seed: Which objects are kept follows from it and the image's name; those of a smaller
            instance_ratio are among those of a larger one.
        channels: Channels of an image: 3, 1 for grey, or what the files hold; 8 or 16 bit.
        ignore_index: Semantic label that counts for nothing.
    Raises:
        ValueError: If instance_ratio is outside (0, 1] or sample_seed negative, or labels is null
            beside a list or for another target than "instance".
    """

    def __init__(
        self,
        data_dir: str,
        split: str | None = None,
        images: str = "images",
        labels: str | None = "labels",
        list: str | None = None,
        classes: tuple[str, str] = ("background", "object"),
        target: Target = "instance",
        instance_ratio: float = 1.0,
        sample_seed: int = 0,
        channels: int = 3,
        ignore_index: int = 255,
    ):
        if labels is None and (list or target != "instance"):
            raise ValueError('labels is null, which needs "target": "instance" and no list')
        self.classes, self.palette = [*classes], distinct_colours(2)
        self.images, self.labels, self.list, self.channels = images, labels, list, channels
        super().__init__(data_dir, split, target, instance_ratio, sample_seed, ignore_index)

    def list_entries(self) -> list[Entry]:
        return list_pairs(
            find_data_dir(self.data_dir),
            self.split,
            self.images,
            self.labels,
            self.list,
            label_suffixes=(*IMAGE_SUFFIXES, ".npy"),
        )

    def read(self, entry: Entry) -> Sample:
        sample = super().read(entry)
        if entry.label is None:
            unlabelled = np.zeros(sample.image.shape[:2], np.int32)
            sample.maps = target_maps(unlabelled, self.targets, self.ignore_index)
        return sample
