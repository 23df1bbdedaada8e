"""Which samples make which batch of which process, and how far an epoch is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from utils.errors import UserError


class EpochSampler(Sampler):
    """Batches of (epoch, index), in an order that follows from the seed and the epoch alone.

    Several processes share every batch: each has every n-th image of it, so that the batches are
    those of one process. One with fewer images than processes is left out.

    Args:
        length: Images there are.
        batch_size: Images in a batch of all processes together.
        shuffle: Draw a new order each epoch.
        drop_last: Leave out the last batch of an epoch where it is not full.
        seed: The order follows from it.
        rank, world: Which process this is, of how many.
        limit: Repeat the first so many batches, unchanged, in place of the data; 0 for the data.

    Attributes:
        epoch: The pass over the data, from 0.
        position: Batches of this epoch that are done; iteration starts there.
        whole: Batches of an epoch without `limit`.
        smallest: Images of this process in the smallest batch.
        left_out: Images of an epoch that are too few for the processes.

    Raises:
        ValueError: If there is no batch, or none of it for some process.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        shuffle: bool,
        drop_last: bool,
        seed: int,
        rank: int = 0,
        world: int = 1,
        limit: int = 0,
    ):
        self.length, self.batch_size = length, batch_size
        self.shuffle, self.seed = shuffle and not limit, seed
        self.rank, self.world, self.limit = rank, world, limit
        self.epoch = self.position = 0
        full, rest = divmod(length, batch_size)
        kept = 0 if drop_last or rest < world else rest
        self.batches = self.whole = full + (kept > 0)
        self.left_out = 0 if drop_last or limit or rest >= world else rest
        if limit and limit < self.batches:
            self.batches, kept = limit, 0
        self.smallest = (kept or batch_size) // world
        if batch_size < world:
            raise ValueError(
                f"batch_size {batch_size} is less than one image for each of {world} processes; "
                "raise it, or set batch_per_process"
            )
        if not self.batches:
            less = "with drop_last " if drop_last else ""
            raise ValueError(f"batch_size {batch_size} {less}leaves no batch of {length} images")

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return self.batches

    def __str__(self) -> str:
        shared = f", {-(-self.batch_size // self.world)} a process on {self.world} processes"
        lost = f"; the last {self.left_out} of an epoch, fewer than the processes, are left out"
        return (
            f"batches of {self.batch_size} images{shared if self.world > 1 else ''}"
            f"{lost if self.left_out else ''}"
        )

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, start = self.epoch, self.position  # they move on while batches are fetched ahead
        order = np.arange(self.length)
        if self.shuffle:
            order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
        for batch in range(start, len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            mine = chosen[self.rank :: self.world]
            yield [(0 if self.limit else epoch, int(index)) for index in mine]

    def advance(self) -> None:
        """Count one batch as done."""
        self.position += 1
        if self.position == len(self):
            self.epoch, self.position = self.epoch + 1, 0

    def state(self) -> dict[str, int]:
        """Where it stands, and by what it counts."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "batches": len(self),
            "batch_size": self.batch_size,
        }

    def load(self, state: dict[str, int]) -> None:
        """Go on from there.

        Raises:
            UserError: If its batches are other ones.
        """
        was = (state["batches"], state.get("batch_size", self.batch_size))
        if was != (len(self), self.batch_size):
            raise UserError(
                f"the checkpoint counts epochs of {was[0]} batches of {was[1]} images, this config "
                f"makes {len(self)} of {self.batch_size}; resume with the same data, batch_size, "
                "drop_last and number of processes, or start from its weights alone with "
                '"init_from"'
            )
        self.epoch, self.position = state["epoch"], state["position"]


class BlockSampler(Sampler):
    """Batches of (0, index) in order: of several processes each has a block of them.

    Args:
        length: Images there are.
        batch_size: Images in a batch.
        rank, world: Which process this is, of how many.
        limit: Most batches of all processes together; 0 for all.
    """

    def __init__(self, length: int, batch_size: int, rank: int = 0, world: int = 1, limit: int = 0):
        self.length, self.batch_size = length, batch_size
        batches = -(-length // batch_size)
        batches = min(batches, limit) if limit else batches
        self.block = range(rank * batches // world, (rank + 1) * batches // world)

    def __len__(self) -> int:
        """Batches of this process."""
        return len(self.block)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in self.block:
            first = batch * self.batch_size
            yield [(0, index) for index in range(first, min(first + self.batch_size, self.length))]
