"""Pictures of object maps: a colour an object, and what became of each object."""

from __future__ import annotations

import numpy as np

from utils.contingency import contingency

IGNORED = (255, 255, 255)
BACKGROUND = (0, 0, 0)
# easily told apart, also from black and white; from Trubetskoy, 20 simple distinct colours, 2017
COLORS = np.array(
    [
        (230, 25, 75),
        (60, 180, 75),
        (255, 225, 25),
        (0, 130, 200),
        (245, 130, 48),
        (145, 30, 180),
        (70, 240, 240),
        (240, 50, 230),
        (210, 245, 60),
        (250, 190, 212),
        (0, 128, 128),
        (220, 190, 255),
        (170, 110, 40),
        (170, 255, 195),
        (128, 128, 0),
        (255, 215, 180),
    ],
    np.uint8,
)
PALETTE = [list(BACKGROUND), *np.resize(COLORS, (255, 3)).tolist()]  # of ids 0 to 255
NEAR = 1, 4  # pixels from an object at which another is its neighbour
MATCHED, MISSED, FALSE, CONFUSED = (70, 150, 90), (220, 30, 40), (50, 120, 235), (170, 60, 200)
AGREED = (44, 48, 52)
OUTLINE = (10, 12, 14)


def colorize_instances(labels: np.ndarray) -> np.ndarray:
    """(H, W) object ids as (H, W, 3) uint8: background black, ignored (-1) white.

    An object's colour follows from its id, so that it is the same in every picture, unless a
    neighbour with a smaller id has it: then it is the next free one.
    """
    ids, places = np.unique(labels, return_inverse=True)
    places = places.reshape(labels.shape)
    table = COLORS[choose_colors(ids, places)]
    table[ids == 0] = BACKGROUND
    table[ids < 0] = IGNORED
    return table[places]


def choose_colors(ids: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(K,) a number of a colour for each id, from the place of each pixel's id, (H, W)."""
    wanted = (ids - 1) % len(COLORS)
    beside: list[list[int]] = [[] for _ in ids]
    for step in NEAR:
        for one, other in ((places[:, step:], places[:, :-step]), (places[step:], places[:-step])):
            table = contingency(one.ravel(), other.ravel())
            met = table.found_ids[table.found], table.truth_ids[table.truth]
            for a, b in zip(*met, strict=True):
                if ids[min(a, b)] > 0:
                    beside[max(a, b)].append(min(a, b))
    chosen = wanted.copy()
    for place, others in enumerate(beside):
        taken = set(chosen[[other for other in others if other != place]].tolist())
        free = (wanted[place] + np.arange(len(COLORS))) % len(COLORS)
        chosen[place] = next((color for color in free if color not in taken), wanted[place])
    return chosen


def instance_errors(labels: np.ndarray, truth: np.ndarray, ignore: int) -> np.ndarray:
    """What became of each object, (H, W, 3) uint8.

    Green where a found and a true object that match (IoU above 0.5) agree; red where only the truth
    has an object and blue where only the labels have one; violet where both have one that do not
    match, as after a split or a merge. True outlines are black, ignored pixels white.
    """
    ignored = truth == ignore
    labels, truth = np.where(ignored, 0, labels), np.where(ignored, 0, truth)
    ids, partners = matches(labels, truth)
    matched = partners[np.searchsorted(ids, labels)] == truth
    picture = np.empty((*truth.shape, 3), np.uint8)
    picture[:] = AGREED
    found, true = labels != 0, truth != 0
    picture[true & ~found] = MISSED
    picture[found & ~true] = FALSE
    picture[found & true] = CONFUSED
    picture[found & true & matched] = MATCHED
    picture[outlines(truth)] = OUTLINE
    picture[ignored] = IGNORED
    return picture


def matches(labels: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ids of a map, ascending, and the true id that each matches (IoU above 0.5), or 0."""
    table = contingency(labels.ravel(), truth.ravel())
    union = table.found_sizes[table.found] + table.truth_sizes[table.truth] - table.pixels
    hits = 2 * table.pixels > union
    partners = np.zeros(len(table.found_ids), np.int64)
    partners[table.found[hits]] = table.truth_ids[table.truth[hits]]
    return table.found_ids, partners


def numbered_like(labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The map with true ids for objects that match true ones, and ids above them for others."""
    ids, partners = matches(labels, truth)
    others = (partners <= 0) & (ids > 0)
    numbers = np.where(ids > 0, partners, ids)
    numbers[others] = max(int(truth.max()), 0) + 1 + np.arange(others.sum())
    return numbers[np.searchsorted(ids, labels)]


def outlines(labels: np.ndarray) -> np.ndarray:
    """Pixels of objects (H, W) whose right or lower neighbour has another id."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    edge[:-1] |= labels[1:] != labels[:-1]
    return edge & (labels != 0)
