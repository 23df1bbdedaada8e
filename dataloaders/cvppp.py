"""CVPPP leaf segmentation: rosette plants from above, one id a leaf.

Minervini et al., Finely-grained annotated datasets for image-based plant phenotyping, 2016.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from base.base_dataset import DATASETS
from dataloaders.files import NoFolder, by_stem, find_below, find_data_dir, pair
from dataloaders.instance_dataset import InstanceDataset
from dataloaders.instance_labels import Target
from dataloaders.palettes import load_palette
from utils.errors import UserError
from utils.sample import Entry

Subset = Literal["A1", "A2", "A3", "A4"]


@DATASETS.register
class CVPPP(InstanceDataset):
    """Leaves of single plants; the classes are background and leaf.

    Images `<data_dir>/<split>/<subset>/<plant>_rgb.png` are paired with `<plant>_label.png`, which
    holds a palette index, a number or a colour for each leaf.

    Args:
        data_dir: Folder that holds `train`, `val`, ...; `tools/split_cvppp.py` makes it from the
            official folder, which has no split.
        split: "train", "val" or "test" (images alone where none has a label).
        subset: "A1" to "A4", or a list of them.
        target: "instance" for leaf ids, "semantic" for background and leaf, or "both".
        instance_ratio: Share of the leaves of each image whose ids are kept, above 0 and up to 1;
            the others become 0, unlabelled. The semantic target always shows them all.
        sample_seed: Which leaves are kept follows from it and the image's name; those of a smaller
            instance_ratio are among those of a larger one.
        ignore_index: Semantic label that counts for nothing; no pixel of this data set has it.
    Raises:
        ValueError: If instance_ratio is outside (0, 1] or sample_seed negative.
    """

    classes, palette = load_palette("cvppp")
    mean, std = [0.5194, 0.3860, 0.2046], [0.2130, 0.1509, 0.1110]  # 83 training plants of A1

    def __init__(
        self,
        data_dir: str,
        split: Literal["train", "val", "test"] = "train",
        subset: Subset | list[Subset] = "A1",
        target: Target = "instance",
        instance_ratio: float = 1.0,
        sample_seed: int = 0,
        ignore_index: int = 255,
    ):
        self.subsets = [subset] if isinstance(subset, str) else sorted(set(subset))
        super().__init__(data_dir, split, target, instance_ratio, sample_seed, ignore_index)

    def list_entries(self) -> list[Entry]:
        folder = find_data_dir(self.data_dir)
        return [entry for subset in self.subsets for entry in self._list_subset(folder, subset)]

    def _list_subset(self, folder: Path, subset: str) -> list[Entry]:
        try:
            place = find_below(folder, f"{self.split}/{subset}")
        except NoFolder:
            if not (folder / subset).is_dir():
                raise
            raise UserError(
                f"{folder} holds the official folder {subset}, which has no split; make one with "
                f"python tools/split_cvppp.py {folder}"
            ) from None
        return list_plants(place, unlabelled=self.split == "test")


def list_plants(folder: Path, unlabelled: bool = False) -> list[Entry]:
    """The plants of a subset's folder, each named `<subset>/<plant>`.

    Args:
        folder: Of the subset.
        unlabelled: None of them need have a label.

    Raises:
        UserError: If an image has no label, or a label no image.
    """
    files = {
        kind: by_stem(
            folder.glob(f"*_{kind}.png"),
            lambda path: f"{folder.name}/{path.stem.rpartition('_')[0]}",
        )
        for kind in ("rgb", "label")
    }
    if unlabelled and not files["label"]:
        return [Entry(name, path) for name, path in files["rgb"].items()]
    return pair(files["rgb"], files["label"])
