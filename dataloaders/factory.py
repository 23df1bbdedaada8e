"""Data sets and loaders from a config's loader sections."""

from __future__ import annotations

from base.base_dataloader import BaseDataLoader
from base.base_dataset import DATASETS, BaseDataset
from dataloaders.transforms import TRANSFORMS, Compose
from utils.augmentation import augmentation
from utils.cache import make_cache
from utils.errors import UserError
from utils.normalization import Normalization, make_normalization
from utils.registry import parameters
from utils.targets import require_targets


def make_dataset(
    section: dict,
    ignore_index: int | None,
    transforms: list[dict] | None = None,
    training: bool = False,
    normalization: Normalization | None = None,
    seed: int = 0,
) -> BaseDataset:
    """Build the data set of a loader section, ready to give tensors.

    Args:
        section: `{"type", "args"}`; args hold the data set's, the loader's and the augmentation's.
        ignore_index: The run's, or None for the data set's own.
        transforms: Sections of TRANSFORMS in place of the augmentation flags.
        training: Augment; otherwise images keep their size and are not changed.
        normalization: In place of what the section says: validation takes that of training.
        seed: Random numbers of a sample come from (seed, epoch, index).

    Raises:
        UserError: If the section asks for flags and transforms at once.
    """
    section = DATASETS.resolve(section)
    own, _, flags, normalize, kept = DATASETS.split(section)
    supplied = {} if ignore_index is None else {"ignore_index": ignore_index}
    dataset = DATASETS.build({"type": section["type"], "args": own}, **supplied)
    if transforms and flags:
        raise UserError(
            f"transforms: leave {', '.join(map(repr, flags))} out of the loader's args, "
            'or leave the section "transforms" out'
        )
    sections = (transforms or augmentation(**flags)) if training else []
    transform = Compose([TRANSFORMS.build(s) for s in sections]) if sections else None
    if normalization is None:
        normalization = make_normalization(dataset, **normalize)
    dataset.prepare(transform, normalization, seed, make_cache(dataset, **kept))
    return dataset


def skips_errors(section: dict) -> bool:
    """Whether a loader section passes over files that cannot be read."""
    _, args, *_ = DATASETS.split(DATASETS.resolve(section))
    return args.get("on_error") == "skip"


def require_alike(
    dataset: BaseDataset, classes: list[str], channels: int, sections: list[dict]
) -> None:
    """Refuse a data set that a model was not trained for.

    Args:
        dataset: To be predicted and scored.
        classes: Class names of training.
        channels: Image channels of training.
        sections: Of the losses and metrics that will read its targets.

    Raises:
        UserError: If one of them differs.
    """
    name = type(dataset).__name__
    if list(dataset.classes) != list(classes):
        raise UserError(
            f"{name} has the classes {', '.join(dataset.classes)}; the model is trained on "
            f"{', '.join(classes)}"
        )
    if dataset.channels != channels:
        raise UserError(
            f"images of {name} have {dataset.channels} channels; the model is trained on {channels}"
        )
    require_targets(sections, dataset.targets, name)


def class_count(section: dict) -> int | None:
    """Classes of a data set that is not read: its own, those its args name, or those of its part.

    None where none of these tells.
    """
    section = DATASETS.resolve(section)
    cls, args = DATASETS[section["type"]], section["args"]
    if hasattr(cls, "classes"):
        return len(cls.classes)
    if "classes" in parameters(cls):
        classes = args.get("classes", parameters(cls)["classes"].default)
        return classes if isinstance(classes, int) else len(classes)
    parts = [args[key] for key in ("dataset", "datasets") if key in args]
    if not parts:
        return None
    return class_count(parts[0][0] if isinstance(parts[0], list) else parts[0])


def make_loader(
    section: dict, dataset: BaseDataset, training: bool, seed: int = 0, limit: int = 0
) -> BaseDataLoader:
    """Build the loader of a section over its data set.

    Args:
        section: `{"type", "args"}`.
        dataset: From `make_dataset`.
        training: Stack images into batches; otherwise give lists of samples of any size, in order.
        seed: The order follows from it.
        limit: Give the first so many batches alone; 0 for all.
    """
    _, args, *_ = DATASETS.split(DATASETS.resolve(section))
    if not training:
        args = {**args, "shuffle": False, "drop_last": False}
    try:
        return BaseDataLoader(dataset, **args, seed=seed, training=training, limit=limit)
    except ValueError as error:
        raise UserError(f"{'train' if training else 'val'}_loader: {error}") from error
