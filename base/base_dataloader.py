"""From a data set to batches, the same ones whatever the number of workers."""

from __future__ import annotations

import atexit
import gc
import logging
import signal
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from base.samplers import BlockSampler, EpochSampler
from utils.cache import CacheError
from utils.distributed import rank, world_size
from utils.errors import UserError

log = logging.getLogger("segforge")

GRACE = 10
TRIES = 10
SHOWN = 3


class BaseDataLoader(DataLoader):
    """torch's DataLoader with pytorch-segmentation's arguments and a resumable order.

    Args:
        dataset: What to load.
        batch_size: Images in a batch, of all processes together.
        batch_per_process: batch_size counts the images of each process instead.
        shuffle: Draw a new order each epoch.
        num_workers: Processes that load; 0 loads in this one.
        drop_last: Leave out the last batch of an epoch where it is not full.
        val: Accepted from pytorch-segmentation; which loader validates follows from its key.
        val_split: Accepted from pytorch-segmentation where it is 0 or null; another share is
            refused, for validation images come from val_loader.
        return_id: Accepted from pytorch-segmentation; batches always hold the names.
        seed: Random numbers follow from it.
        training: Stack images into one batch; otherwise give a list of samples, which may differ
            in size.
        on_error: What a file that cannot be read does: "stop" the run, naming it, or "skip": in
            training another sample takes its place, in validation it is left out; a warning at the
            end of the pass counts and names.
        limit: Give the first so many batches alone: in training again and again, unchanged; 0 for
            all.
    Raises:
        ValueError: If batch_size or num_workers is out of range, val_split is a share, no batch is
            full, or a process would have no image of a batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        num_workers: int = 0,
        drop_last: bool = False,
        val: bool = False,
        val_split: float | None = None,
        return_id: bool = False,
        seed: int = 0,
        training: bool = True,
        on_error: Literal["stop", "skip"] = "stop",
        batch_per_process: bool = False,
        limit: int = 0,
    ):
        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                f"batch_size is {batch_size} and num_workers {num_workers}; at least 1 "
                "and 0 are needed"
            )
        if val_split:
            raise ValueError(
                f"val_split is {val_split}; leave it out, and give val_loader a split of its own, "
                'or both loaders the "val_fraction" of data sets that have it'
            )
        length, world = len(dataset), world_size()
        if training:
            whole = batch_size * world if batch_per_process else batch_size
            self.order = EpochSampler(length, whole, shuffle, drop_last, seed, rank(), world, limit)
        else:
            self.order = BlockSampler(length, batch_size, rank(), world, limit)
        self.training = training
        super().__init__(
            Guarded(dataset, training, seed) if on_error == "skip" else Watched(dataset),
            batch_sampler=self.order,
            num_workers=num_workers,
            collate_fn=partial(collate, stack if training else list_samples),
            worker_init_fn=quiet_worker,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # or each new iterator would draw from the model's numbers
        )
        if num_workers:  # at exit multiprocessing sends SIGTERM, which workers outlive
            atexit.register(end_workers, weakref.ref(self))

    def __iter__(self) -> Iterator[Any]:
        skipped: list[str] = []
        try:
            for batch in super().__iter__():
                if isinstance(batch, UserError):
                    raise batch
                skipped += batch.skipped
                if batch.content:
                    yield batch.content
        finally:
            batch = None  # an error that its own frame holds would keep the workers alive
            if skipped:
                self._report(skipped)

    def _report(self, skipped: list[str]) -> None:
        more = f"; and {len(skipped) - SHOWN} more" if len(skipped) > SHOWN else ""
        log.warning(
            "%d of the samples could not be read and %s: %s%s",
            len(skipped),
            "others took their places" if self.training else "were left out of the scores",
            "; ".join(skipped[:SHOWN]),
            more,
        )


class Skipped(NamedTuple):
    """Why a sample is missing, and the item in its place, or None."""

    problem: str
    item: dict[str, Any] | None


class Batch(NamedTuple):
    """What the loader gives, and why samples are missing from it."""

    content: Any
    skipped: list[str]


class Watched(Dataset):
    """Hands a user's error through as an item, so that no worker's traceback hides it."""

    def __init__(self, dataset: Dataset):
        self.inner = dataset

    def __getitem__(self, key: tuple[int, int]) -> Any:
        try:
            return self.inner[key]
        except UserError as error:
            return error

    def __len__(self) -> int:
        return len(self.inner)


class Guarded(Watched):
    """Puts another sample, or none, in the place of one that cannot be read.

    Args:
        dataset: What to load.
        training: Take another sample, drawn from (seed, epoch, index); otherwise none.
        seed: Of the run.
    """

    def __init__(self, dataset: Dataset, training: bool, seed: int):
        super().__init__(dataset)
        self.training, self.seed = training, seed

    def __getitem__(self, key: tuple[int, int]) -> Any:
        item = super().__getitem__(key)
        if not isinstance(item, UserError) or isinstance(item, CacheError):
            return item
        problem = str(item)
        if not self.training:
            return Skipped(problem, None)
        epoch, index = key
        rng = np.random.default_rng((self.seed, epoch, index, TRIES))
        for other in rng.integers(len(self), size=TRIES).tolist():
            item = super().__getitem__((epoch, other))
            if not isinstance(item, UserError):
                return Skipped(problem, item)
        return item  # so many in a row are no accident


def end_workers(loader: weakref.ref) -> None:
    """End the workers of a loader that still has some, as torch does when it is collected."""
    iterator = getattr(loader(), "_iterator", None)
    if iterator is not None:
        iterator._shutdown_workers()


def quiet_worker(_: int) -> None:
    """One thread a worker; signals to the whole process group are the main process's to answer.

    After SIGTERM a worker goes on for `GRACE` seconds, in which the main process ends its step.
    """
    cv2.setNumThreads(0)
    gc.freeze()  # a collection would write to, and so copy, what the parent shares
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))


def collate(make: Callable[[list], Any], items: list) -> Batch | UserError:
    """What `make` makes of the items, and the problems of those that were skipped."""
    content = make(items)
    if isinstance(content, UserError):
        return content
    return Batch(content, [item.problem for item in items if isinstance(item, Skipped)])


def list_samples(items: list) -> list | UserError:
    """The samples as a list, or the first error among them."""
    error = next((item for item in items if isinstance(item, UserError)), None)
    if error is not None:
        return error
    items = [item.item if isinstance(item, Skipped) else item for item in items]
    return [item for item in items if item is not None]


def stack(items: list) -> dict[str, Any] | UserError:
    """One batch: image (B, C, H, W), target (B, H, W) or a dict of them, name [B], meta [B]."""
    items = list_samples(items)
    if isinstance(items, UserError):
        return items
    sizes = {tuple(item["image"].shape[-2:]) for item in items}
    if len(sizes) > 1:
        listed = ", ".join(f"{w}x{h}" for h, w in sorted(sizes))
        return UserError(
            f'images of a batch differ in size ({listed}); set "crop_size", or "batch_size": 1'
        )
    views = [view for view in ("image", "image2") if view in items[0]]
    batch: dict[str, Any] = {view: torch.stack([item[view] for item in items]) for view in views}
    if "target" in items[0]:
        targets = [item["target"] for item in items]
        batch["target"] = (
            {name: torch.stack([t[name] for t in targets]) for name in targets[0]}
            if isinstance(targets[0], dict)
            else torch.stack(targets)
        )
    return batch | {key: [item[key] for item in items] for key in ("name", "meta")}


def to_device(target: Any, device: torch.device) -> Any:
    """A target, or each of a dict of them, on a device."""
    if isinstance(target, dict):
        return {name: part.to(device, non_blocking=True) for name, part in target.items()}
    return target.to(device, non_blocking=True)
