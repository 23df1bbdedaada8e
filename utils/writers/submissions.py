"""Label maps as the servers of public benchmarks read them.

Files go into a folder of their own under the names of the images, ready to be packed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath

import numpy as np
from torch import Tensor

from utils.errors import UserError
from utils.image_io import write_png
from utils.predictors.probabilities import to_probabilities
from utils.writers.writer import Result, Task, Writer, always, inside, needs_scores, needs_target

# labelIds of cityscapesscripts, which KITTI's semantic benchmark shares; the name "other" is free
CITYSCAPES = {
    **{"road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17},
    **{"traffic light": 19, "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23},
    **{"person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31},
    **{"motorcycle": 32, "bicycle": 33, "unlabeled": 0, "void": 0, "other": 0, "background": 0},
}


def write_label_ids(path: Path, result: Result) -> None:
    table = np.array([CITYSCAPES[name] for name in result.task.classes], np.uint8)
    write_png(path, table[result.labels])


def check_cityscapes(task: Task) -> None:
    needs_target("semantic")(task)
    strange = [name for name in task.classes if name not in CITYSCAPES]
    if strange:
        raise UserError(
            f"--save cityscapes or kitti: the class {strange[0]!r} is none of Cityscapes'; this "
            "model was trained on other classes"
        )


def write_from_one(path: Path, result: Result) -> None:
    """Class ids from 1, as ADE20K counts them: 0 is what has no class."""
    write_png(path, (result.labels + 1).astype(np.uint8))


def of_classes(count: int, kind: str) -> Callable[[Task], None]:
    """Refuse a model with another number of classes.

    Raises:
        UserError: If it has.
    """

    def check(task: Task) -> None:
        needs_target("semantic")(task)
        if len(task.classes) != count:
            raise UserError(
                f"--save {kind}: {count} classes are wanted; this model was trained on "
                f"{len(task.classes)}"
            )

    return check


def voc_palette() -> list[list[int]]:
    """VOC's colours: the bits of an id, three at a time, go to red, green and blue from the top."""
    return [
        [sum((i >> 3 * b + channel & 1) << 7 - b for b in range(8)) for channel in range(3)]
        for i in range(256)
    ]


def write_voc(path: Path, result: Result) -> None:
    write_png(path, result.labels.astype(np.uint8), voc_palette())


def road_scores(result: Result) -> Tensor:
    return to_probabilities(result.outputs[result.task.scores[0]][None])[0]


def write_kitti_road(path: Path, result: Result) -> None:
    road = road_scores(result)[result.task.classes.index("road")]
    write_png(path, (road * 255).round().byte().numpy())


def check_road(task: Task) -> None:
    needs_scores(task)
    if "road" not in task.classes:
        raise UserError(
            "--save kitti_road: no class is called 'road'; this model was trained on "
            + ", ".join(task.classes)
        )


def kitti_road_name(name: PurePath) -> PurePath:
    """um_000007 -> kitti_road/um_road_000007.png."""
    category, _, number = name.name.partition("_")
    return inside("kitti_road")(name.with_name(f"{category}_road_{number}" if number else category))


SUBMISSIONS = {
    "cityscapes": Writer(
        "labelIds", inside("cityscapes"), always(write_label_ids), check=check_cityscapes
    ),
    "kitti": Writer("labelIds", inside("kitti"), always(write_label_ids), check=check_cityscapes),
    "kitti_road": Writer(
        "probability of the road, 0 to 255, in the image's view",
        kitti_road_name,
        always(write_kitti_road),
        outputs=True,
        check=check_road,
    ),
    "ade20k": Writer(
        "class ids from 1",
        inside("ade20k"),
        always(write_from_one),
        check=of_classes(150, "ade20k"),
    ),
    "voc": Writer(
        "class ids with VOC's palette",
        inside("voc"),
        always(write_voc),
        check=of_classes(21, "voc"),
    ),
}
