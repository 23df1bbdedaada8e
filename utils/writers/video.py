"""Overlays as a video."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from utils.errors import UserError
from utils.writers.pictures import draw_overlay
from utils.writers.writer import Result


class VideoFile:
    """An mp4 of overlays (MPEG-4), written under a temporary name until it is closed.

    Args:
        path: The file.
        fps: Frames a second.
    """

    def __init__(self, path: Path, fps: float):
        self.path, self.fps = path, fps
        self.part = path.with_name(f"{path.stem}.part.mp4")
        self.file: cv2.VideoWriter | None = None

    def add(self, result: Result) -> None:
        """Append one frame; its size is that of the first.

        MPEG-4 has even sides: the last row or column of a picture with odd ones is repeated.

        Raises:
            UserError: If the video cannot be written, or the frame is of another size.
        """
        picture = draw_overlay(result)
        odd = [(0, side % 2) for side in picture.shape[:2]]
        picture = np.pad(picture, (*odd, (0, 0)), mode="edge")
        height, width = picture.shape[:2]
        if self.file is None:
            self.size = (width, height)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            code = cv2.VideoWriter_fourcc(*"mp4v")
            self.file = cv2.VideoWriter(str(self.part), code, self.fps, self.size)
            if not self.file.isOpened():
                raise UserError(f"{self.path} cannot be written as a video")
        if (width, height) != self.size:
            raise UserError(
                f"a frame is {width}x{height}, those before it {self.size[0]}x{self.size[1]}; a "
                "video has frames of one size, so leave video out of --save"
            )
        self.file.write(np.ascontiguousarray(picture[:, :, ::-1]))

    def close(self) -> None:
        """Finish the file under its own name."""
        if self.file is not None:
            self.file.release()
            os.replace(self.part, self.path)
            self.file = None

    def discard(self) -> None:
        """Take away what was written."""
        if self.file is not None:
            self.file.release()
            self.part.unlink(missing_ok=True)
