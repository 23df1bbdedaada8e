"""From an object map to lanes: an x at each of a list of heights, as TuSimple writes them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

NOTHING = -2  # x where a lane does not reach
WINDOW = 40  # pixels of the original image's height over which a lane is smoothed by a parabola
MIN_PIECE = 12  # pixels of the map; smaller pieces of an object are strays
MIN_POINTS = 2  # a lane that reaches fewer heights is none


def fit_lanes(
    labels: np.ndarray, h_samples: Sequence[float], size: tuple[int, int]
) -> list[list[float]]:
    """One lane for each object of a map: an x at each height, -2 beyond its ends.

    A lane runs through the medians of the object's rows, straight across gaps such as those of
    dashed lines, and is smoothed by parabolas over a moving window (Savitzky and Golay, 1964).

    Args:
        labels: (H, W) object ids, 0 for none, of any size.
        h_samples: Heights in pixels of the original image.
        size: Height and width of the original image in pixels.

    Returns:
        Lanes in pixels of the original image, by ascending id.
    """
    rows, columns = np.nonzero(labels > 0)
    ids = labels[rows, columns]
    heights = np.asarray(h_samples, float)
    lanes = []
    for label in np.unique(ids):
        mine = ids == label
        lane = fit_lane(rows[mine], columns[mine], labels.shape, heights, size)
        if (lane >= 0).sum() >= MIN_POINTS:
            lanes.append(lane.round(2).tolist())
    return lanes


def fit_lane(
    rows: np.ndarray,
    columns: np.ndarray,
    shape: tuple[int, int],
    heights: np.ndarray,
    size: tuple[int, int],
) -> np.ndarray:
    """The lane through some pixels of a map of such a shape: an x at each height."""
    rows, columns = without_strays(rows, columns)
    if not len(rows):
        return np.full(len(heights), NOTHING, float)
    there, middle = row_medians(rows, columns)
    every = np.arange(there[0], there[-1] + 1)
    line = smooth(np.interp(every, there, middle), WINDOW * shape[0] / size[0])
    # centres of pixels keep their place when a map is resized
    y = (every + 0.5) * size[0] / shape[0] - 0.5
    x = (line + 0.5) * size[1] / shape[1] - 0.5
    half = size[0] / shape[0] / 2
    lane = np.interp(heights, y, x)
    outside = (heights < y[0] - half) | (heights > y[-1] + half) | (lane < 0) | (lane >= size[1])
    return np.where(outside, NOTHING, lane)


def without_strays(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels whose connected piece is large enough."""
    top, left = rows.min(), columns.min()
    mask = np.zeros((np.ptp(rows) + 1, np.ptp(columns) + 1), np.uint8)
    mask[rows - top, columns - left] = 1
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    keep = stats[pieces[rows - top, columns - left], cv2.CC_STAT_AREA] >= MIN_PIECE
    return rows[keep], columns[keep]


def row_medians(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows that have pixels, ascending, and the median column of each."""
    order = np.lexsort((columns, rows))
    there, first, count = np.unique(rows[order], return_index=True, return_counts=True)
    columns = columns[order]
    return there, (columns[first + (count - 1) // 2] + columns[first + count // 2]) / 2


def smooth(line: np.ndarray, window: float) -> np.ndarray:
    """A moving parabola over so many values, fewer where the line is shorter."""
    from scipy.signal import savgol_filter  # slow to import

    width = min(int(window) // 2 * 2 + 1, (len(line) - 1) // 2 * 2 + 1)
    return savgol_filter(line, width, 2) if width > 2 else line
