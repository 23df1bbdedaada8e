"""A data set in a format of its own: one .npz file with an image and a label map."""

from pathlib import Path

import numpy as np

from dataloaders import DATASETS, BaseDataset
from utils.errors import UserError
from utils.sample import Entry, Sample


@DATASETS.register
class Dots(BaseDataset):
    """Bright dots on a dark ground, in files `<data_dir>/<split>/<name>.npz`.

    Args:
        data_dir: Folder that holds `train` and `val`.
        split: "train" or "val".
        ignore_index: Label of pixels that count for nothing.
    """

    classes = ["ground", "dot"]
    palette = [[0, 0, 0], [255, 200, 0]]

    def __init__(self, data_dir: str, split: str = "train", ignore_index: int = 255):
        super().__init__(data_dir, split, ignore_index)

    def list_entries(self) -> list[Entry]:
        folder = Path(self.data_dir) / self.split
        return [Entry(path.stem, path) for path in sorted(folder.glob("*.npz"))]

    def read(self, entry: Entry) -> Sample:
        try:
            with np.load(entry.image) as file:
                image, label = file["image"], file["label"]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{entry.image} cannot be read: {error}") from error
        return Sample(entry.name, image, {"semantic": label.astype(np.int32)})
