"""The folder that results go to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from utils.errors import UserError
from utils.inference.sources import Source
from utils.run_place import make_folder
from utils.writers import WRITERS, Result, Task
from utils.writers.video import VideoFile

VIDEO = "video"
KINDS = (*WRITERS, VIDEO)


class Output:
    """Writes every kind of result that is asked for; used with `with`, which closes a video.

    Args:
        folder: Where results go; it is made.
        kinds: Names in KINDS.
        source: What is predicted.
        task: What the model was trained for.
        skip_existing: An image whose results are all there is not wanted again; a video that is
            there stays as it is.
        overwrite: Results may be written over.
        fps: Of a video, in place of the source's.

    Raises:
        UserError: If the folder holds files and neither flag is given, if an image that is read
            or another result would be written over, or if the model has no result of a kind.
    """

    def __init__(
        self,
        folder: Path,
        kinds: Sequence[str],
        source: Source,
        task: Task,
        skip_existing: bool = False,
        overwrite: bool = False,
        fps: float | None = None,
    ):
        self.folder, self.skip_existing = folder, skip_existing
        self.writers = {kind: WRITERS[kind] for kind in kinds if kind != VIDEO}
        self.video = None
        if VIDEO in kinds:
            self.video = VideoFile(folder / f"{source.title}.mp4", fps or source.fps)
        for writer in self.writers.values():
            writer.check(task)
        self.write_files = {
            kind: writer.begin(folder, skip_existing) for kind, writer in self.writers.items()
        }
        self._refuse_overwriting(source)
        if skip_existing and self.video and self.video.path.is_file():
            self.video = None  # made anew of the missing frames alone, it would lose the others
        if folder.is_dir() and any(folder.iterdir()) and not (skip_existing or overwrite):
            raise UserError(
                f"--output {folder} is not empty: --overwrite writes over results in it, "
                "--skip-existing predicts only what is missing there, or name another folder"
            )
        make_folder(folder, "--output")

    @property
    def kinds_of_outputs(self) -> list[str]:
        """The kinds that are made of the model's maps."""
        return [kind for kind, writer in self.writers.items() if writer.outputs]

    @property
    def needs_outputs(self) -> bool:
        """A writer reads the model's maps."""
        return bool(self.kinds_of_outputs)

    @property
    def in_order(self) -> bool:
        """Results must be written one after the other."""
        return self.video is not None or any(w.in_order for w in self.writers.values())

    def places(self, name: PurePath) -> list[Path]:
        """The files of one image."""
        return [*self._own(name), *([self.video.path] if self.video else [])]

    def wants(self, name: PurePath) -> bool:
        """Whether an image is to be predicted."""
        return not (self.skip_existing and all(path.is_file() for path in self.places(name)))

    def write(self, name: PurePath, result: Result) -> None:
        """Write all results of an image.

        Raises:
            UserError: If one cannot be written.
        """
        for kind, writer in self.writers.items():
            self.write_files[kind](self.folder / writer.place(name), result)
        if self.video:
            self.video.add(result)

    def __enter__(self) -> Output:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if self.video:
            self.video.close() if kind is None else self.video.discard()

    def _own(self, name: PurePath) -> list[Path]:
        """Those that no other image shares."""
        return [self.folder / writer.place(name) for writer in self.writers.values()]

    def _refuse_overwriting(self, source: Source) -> None:
        read = {path.resolve() for path in source.files}
        written: dict[Path, PurePath] = {}
        for name in source.names:
            for path in self._own(name):
                other = written.setdefault(path, name)
                if other != name:
                    raise UserError(
                        f"{path} would be a result of {other} and of {name}; predict them one "
                        "after the other, into two folders"
                    )
        for path in [*written, *([self.video.path] if self.video else [])]:
            if path.resolve() in read:
                raise UserError(f"{path} would be written over; give another folder as --output")
