"""Where images to predict come from: folders, files, lists, globs, and videos."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import cv2
import numpy as np
from torch import Tensor

from utils.errors import UserError
from utils.image_io import IMAGE_SUFFIXES, read_image
from utils.lines import read_lines

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
EXACT_COUNTS = (".mp4", ".m4v", ".mov")  # an index of all frames; others give an estimate
PATIENCE = 25  # damaged frames in a row after which a video has ended
NAMED = 20  # damaged frames that are listed

Wanted = Callable[[PurePath], bool]


@dataclass
class Frame:
    """One image to predict.

    Attributes:
        name: Where its results go below the output folder, without an ending.
        image: (H, W, C) uint8 or uint16, None where it could not be read.
        error: Why not.
        prepared: The image as the model reads it, where that is made ahead too.
    """

    name: PurePath
    image: np.ndarray | None = None
    error: str = ""
    prepared: Tensor | None = None


class Images:
    """Image files, each by itself.

    Args:
        paths: The files by the name of their results.
        title: Of all of them, for a video.
    """

    fps = 20.0
    in_order = False
    default = ("palette", "ids", "overlay")

    def __init__(self, paths: dict[PurePath, Path], title: str):
        self.paths, self.title = paths, title
        self.names, self.files = list(paths), set(paths.values())

    def __len__(self) -> int:
        return len(self.paths)

    def reads(self, channels: int, wanted: Wanted) -> Iterator[Callable[[], Frame]]:
        """A function an image that reads it with so many channels; of those wanted."""
        for name, path in self.paths.items():
            if wanted(name):
                yield lambda name=name, path=path: read_frame(name, path, channels)

    def problems(self) -> list[str]:
        """What was wrong beside unreadable images."""
        return []


class Video:
    """The frames of a video file, one after the other.

    Frames that cannot be decoded are passed over and listed. Where the decoder hides them, the
    count tells.

    Args:
        path: The file.
    Raises:
        UserError: If it cannot be opened.
    """

    in_order = True
    default = ("video",)

    def __init__(self, path: Path):
        self.path, self.title = path, path.stem
        self.names, self.files = [], {path}
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # damaged frames are counted here
        self.capture = cv2.VideoCapture(str(path))
        if not self.capture.isOpened():
            raise UserError(f"{path} is not a video that can be read")
        self.fps = self.capture.get(cv2.CAP_PROP_FPS) or 20.0
        self.announced = max(int(self.capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        self.position = self.decoded = 0
        self.damaged: list[int] = []

    def __len__(self) -> int:
        return self.announced

    def reads(self, channels: int, wanted: Wanted) -> Iterator[Callable[[], Frame | None]]:
        """A function that gives the next frame, None behind the last, again and again.

        Raises:
            UserError: If the model reads other channels than a video has.
        """
        if channels not in (1, 3):
            raise UserError(f"{self.path} has 3 channels; the model was trained on {channels}")
        return itertools.repeat(lambda: self._next(channels, wanted))

    def _next(self, channels: int, wanted: Wanted) -> Frame | None:
        while self._grab():
            name = PurePath(self.title) / f"{self.position:06d}"
            if not wanted(name):
                continue
            found, image = self.capture.retrieve()
            if not found:
                return Frame(name, error=f"{self.path}: frame {self.position} cannot be decoded")
            if channels == 1:
                return Frame(name, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[:, :, None])
            return Frame(name, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        return None

    def _grab(self) -> bool:
        """Go to the next frame that can be read; False where there is none within reach."""
        for missed in range(PATIENCE):
            if self.capture.grab():
                self.damaged += range(self.position + 1, self.position + missed + 1)
                self.position += missed + 1
                self.decoded += 1
                return True
        return False

    def problems(self) -> list[str]:
        lines = []
        if self.damaged:
            frames = ", ".join(map(str, self.damaged[:NAMED]))
            more = len(self.damaged) - NAMED
            lines.append(
                f"{self.path}: damaged frames are left out: {frames}"
                + (f" and {more} more" if more > 0 else "")
            )
        short = self.announced - self.decoded - len(self.damaged)
        allowed = 0 if self.path.suffix.lower() in EXACT_COUNTS else self.announced // 100 + 1
        if short > allowed:
            lines.append(
                f"{self.path}: {self.decoded} of {self.announced} frames could be decoded; the "
                "others are damaged or missing, and left out"
            )
        return lines


Source = Images | Video


def find_source(
    places: Sequence[Path], extension: str | None = None, output: Path | None = None
) -> Source:
    """What `--images` names: folders (searched recursively), image files, lists, globs, or a video.

    A list is a text file with a path a line, relative to its own folder; a glob is expanded here
    where the shell did not.

    Args:
        places: As they were given.
        extension: Only images of folders with it, such as "jpg".
        output: Where results go; those in it are no images of a folder that it lies in.

    Raises:
        UserError: If there is nothing, two images would have results of one name, a video is not
            alone, or there is an extension but no folder.
    """
    if extension and not any(place.is_dir() for place in places):
        raise UserError(
            f"--extension {extension} chooses among the images of folders; {places[0]} is none"
        )
    if len(places) == 1 and places[0].suffix.lower() in VIDEO_SUFFIXES and places[0].is_file():
        return Video(places[0])
    paths: dict[PurePath, Path] = {}
    found = [expand(place, extension, output) for place in places]
    for root, path in itertools.chain.from_iterable(found):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            raise UserError(f"--images: {path} is a video; a video is given alone, by its path")
        name = PurePath(os.path.relpath(path, root)).with_suffix("")
        other = paths.setdefault(name, path)
        if other != path:
            raise UserError(
                f"{other} and {path} would both be written to {name}.png; predict them "
                "one after the other, with --extension"
            )
    folder = PurePath(os.path.abspath(found[0][0][0])).name
    return Images(paths, places[0].stem if places[0].is_file() else folder)


def expand(
    place: Path, extension: str | None = None, output: Path | None = None
) -> list[tuple[Path, Path]]:
    """(root, file) of each image that a word names; results are named relative to the root.

    Results in the output folder are left out where it lies in the root.

    Raises:
        UserError: If there is none, or the output folder is that of the images.
    """
    if place.is_dir():
        wanted = (f".{extension.lstrip('.').lower()}",) if extension else IMAGE_SUFFIXES
        files = without([p for p in place.rglob("*") if p.name[0] != "."], place, output)
        found = sorted((p for p in files if p.suffix.lower() in wanted), key=natural)
        if not found:
            video = next((p for p in files if p.suffix.lower() in VIDEO_SUFFIXES), None)
            raise UserError(
                f"--images {place}: no image with {' or '.join(wanted)} in it"
                + (f"; {video} is a video: a video is given alone, by its path" if video else "")
            )
        return [(place, path) for path in found]
    if place.is_file() and place.suffix.lower() == ".txt":
        return with_root(listed(place))
    if place.is_file():
        return [(place.parent, place)]
    matches = [Path(found) for found in glob.glob(str(place), recursive=True)]
    files = sorted((path for path in matches if path.is_file()), key=natural)
    if files:
        found = with_root(files)
        files = without(files, found[0][0], output)
    if not files:
        raise UserError(f"--images {place}: there is no such file or folder")
    return with_root(files)


def without(paths: list[Path], root: Path, output: Path | None) -> list[Path]:
    """The files but those in the output folder, where that lies in the root.

    Raises:
        UserError: If it is the root: results would be images of the next call.
    """
    if output is None or not inside(output, root):
        return paths
    if output.resolve() == root.resolve():
        raise UserError(
            f"--output {output} is the folder of the images, where results would be predicted too "
            f"by the next call; name another, such as {output / 'predicted'}"
        )
    return [path for path in paths if not inside(path, output)]


def inside(path: Path, folder: Path) -> bool:
    return PurePath(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def listed(index: Path) -> list[Path]:
    """The files a list names.

    Raises:
        UserError: If it is no text, empty, or names a file that is not there.
    """
    try:
        paths = [index.parent / line for line in read_lines(index)]
    except UserError as error:
        raise UserError(f"--images {index} is no list of files that can be read") from error
    if not paths:
        raise UserError(f"--images {index}: the list is empty; write a path on each line")
    missing = next((path for path in paths if not path.is_file()), None)
    if missing:
        raise UserError(f"--images {index} lists {missing}, which is not there")
    return paths


def with_root(paths: list[Path]) -> list[tuple[Path, Path]]:
    """The files, each with the deepest folder that holds them all."""
    root = Path(os.path.commonpath([os.path.abspath(path.parent) for path in paths]))
    return [(root, path) for path in paths]


def natural(path: Path) -> list[tuple[int, str]]:
    """A sort key that puts frame 9 before frame 10."""
    parts = re.split(r"(\d+)", str(path))
    return [(int(part), part) if part.isdigit() else (0, part) for part in parts]


def read_frame(name: PurePath, path: Path, channels: int) -> Frame:
    """An image file as a frame, with the error where it cannot be read."""
    try:
        return Frame(name, read_image(path, channels))
    except UserError as error:
        return Frame(name, error=str(error))
