"""What data sets of labelled objects share: their targets, and a share of the objects."""

from __future__ import annotations

import numpy as np

from base.base_dataset import BaseDataset, require_one_size
from dataloaders.instance_labels import (
    TARGETS,
    Target,
    check_sampling,
    keep_share,
    read_ids,
    target_maps,
)
from utils.image_io import read_image
from utils.sample import Entry, Sample


class InstanceDataset(BaseDataset):
    """Images with an id for each object: 0 is background, -1 is ignored.

    A subclass sets `classes`, background and the object, and lists its entries; where ids are not
    in one label file an image it overrides `read_ids`.

    Args:
        target: "instance" for ids, "semantic" for background and object, or "both".
        instance_ratio: Share of the objects of each image whose ids are kept, above 0 and up to 1;
            the others become 0, unlabelled. The semantic target always shows them all.
        sample_seed: Which objects are kept follows from it and the image's name; those of a smaller
            instance_ratio are among those of a larger one.
        ignore_index: Semantic label that counts for nothing.
    Raises:
        ValueError: If instance_ratio is outside (0, 1] or sample_seed negative.
    """

    def __init__(
        self,
        data_dir: str | None,
        split: str | None,
        target: Target = "instance",
        instance_ratio: float = 1.0,
        sample_seed: int = 0,
        ignore_index: int = 255,
    ):
        check_sampling(instance_ratio, sample_seed)
        self.targets = TARGETS[target]
        self.instance_ratio, self.sample_seed = instance_ratio, sample_seed
        super().__init__(data_dir, split, ignore_index)

    def read_ids(self, entry: Entry) -> np.ndarray:
        """Ids (H, W) int32 of every object of an image.

        Raises:
            UserError: If a file is unreadable or holds no ids.
        """
        return read_ids(entry.label)

    def read(self, entry: Entry) -> Sample:
        image = read_image(entry.image, self.channels)
        if entry.label is None:
            return Sample(entry.name, image, {})
        ids = self.read_ids(entry)
        require_one_size(entry, image, ids)
        return Sample(entry.name, image, self.maps(ids, entry.name))

    def maps(self, ids: np.ndarray, name: str) -> dict[str, np.ndarray]:
        """The label maps of the targets, from the ids of every object."""
        maps = target_maps(ids, self.targets, self.ignore_index)
        if "instance" in maps and self.instance_ratio < 1:
            maps["instance"] = keep_share(ids, self.instance_ratio, self.sample_seed, name)
        return maps
