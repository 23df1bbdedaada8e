"""The pixels that the objects of two label maps share, from which every object score follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Contingency:
    """A sparse table of the N pairs of ids that meet in a pixel, 0 among them as any other id.

    Attributes:
        found_ids: (F,) ids of the labels, ascending.
        truth_ids: (T,) ids of the target, ascending.
        found: (N,) place of each pair in `found_ids`.
        truth: (N,) place of each pair in `truth_ids`.
        pixels: (N,) how many pixels of each pair there are, int64.
    """

    found_ids: np.ndarray
    truth_ids: np.ndarray
    found: np.ndarray
    truth: np.ndarray
    pixels: np.ndarray

    @property
    def found_sizes(self) -> np.ndarray:
        """(F,) pixels of each id of the labels."""
        return totals(self.found, self.pixels, len(self.found_ids))

    @property
    def truth_sizes(self) -> np.ndarray:
        """(T,) pixels of each id of the target."""
        return totals(self.truth, self.pixels, len(self.truth_ids))

    def objects(self) -> Contingency:
        """The pairs of two objects, background left out on both sides; sizes change with it."""
        keep = (self.found_ids[self.found] != 0) & (self.truth_ids[self.truth] != 0)
        ids = self.found_ids, self.truth_ids
        return Contingency(*ids, self.found[keep], self.truth[keep], self.pixels[keep])


def contingency(found: np.ndarray, truth: np.ndarray) -> Contingency:
    """The table of two lists of ids, (P,) each, of one pixel after another.

    Neighbours mostly have one id, so that only the starts of runs are sorted: a few thousand of an
    image's pixels. Ids may be any whole numbers.
    """
    changes = (found[1:] != found[:-1]) | (truth[1:] != truth[:-1])
    starts = np.flatnonzero(np.concatenate([[len(found) > 0], changes]))
    lengths = np.diff(starts, append=len(found))
    found_ids, found_places = np.unique(found[starts], return_inverse=True)
    truth_ids, truth_places = np.unique(truth[starts], return_inverse=True)
    cells, places = np.unique(truth_places * len(found_ids) + found_places, return_inverse=True)
    rows, columns = np.divmod(cells, max(len(found_ids), 1))
    return Contingency(found_ids, truth_ids, columns, rows, totals(places, lengths, len(cells)))


def totals(places: np.ndarray, values: np.ndarray, length: int) -> np.ndarray:
    """(length,) int64: the sum of the values at each place, exact below 2**53."""
    return np.bincount(places, values, length).astype(np.int64)
