"""TuSimple's lane annotations, and drawing them as instance ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from utils.tusimple import read_frames


@dataclass(frozen=True)
class LaneFrame:
    """One line of an annotation file.

    Attributes:
        raw_file: Path of the image, as the file has it.
        lanes: (K, N) int32, the x of each lane at each height in pixels; -2 where it has none.
        h_samples: (N,) int32, the heights, y in pixels.
    """

    raw_file: str
    lanes: np.ndarray
    h_samples: np.ndarray

    def as_json(self) -> dict:
        """The line as plain lists and numbers."""
        lanes, heights = self.lanes.tolist(), self.h_samples.tolist()
        return {"lanes": lanes, "h_samples": heights, "raw_file": self.raw_file}


def read_lane_file(path: Path) -> list[LaneFrame]:
    """The annotated frames of a JSON-lines file, in its order.

    Raises:
        UserError: As `utils.tusimple.read_frames`.
    """
    return [lane_frame(data) for data in read_frames(path, ("lanes", "h_samples")).values()]


def lane_frame(data: dict) -> LaneFrame:
    heights = np.array(data["h_samples"], np.int32)
    lanes = np.array(data["lanes"], np.int32)
    return LaneFrame(data["raw_file"], lanes.reshape(len(lanes), len(heights)), heights)


def draw_lanes(frame: LaneFrame, size: tuple[int, int], thickness: int) -> np.ndarray:
    """Ids (H, W) int32: 1 for the first lane, 2 for the second, ...; a later one lies on top.

    Args:
        frame: Whose lanes to draw.
        size: (height, width) of the image in pixels.
        thickness: Of the lines, in pixels.
    """
    ids = np.zeros(size, np.int32)
    # a thin line made thicker: OpenCV 4 and 5 draw thick lines of different widths
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (thickness, thickness))
    for number, lane in enumerate(frame.lanes, 1):
        seen = lane >= 0
        points = np.stack([lane[seen], frame.h_samples[seen]], axis=1)
        if len(points):
            points = np.repeat(points, 2, axis=0) if len(points) == 1 else points
            line = cv2.polylines(np.zeros(size, np.uint8), [points[:, None]], False, 1)
            ids[cv2.dilate(line, brush) > 0] = number
    return ids
