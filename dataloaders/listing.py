"""Pairs of an image and a label file from folders, patterns or a list file."""

from __future__ import annotations

import re
from pathlib import Path

from dataloaders.files import by_stem, list_images, pair, refuse_unpaired, require_names
from utils.errors import UserError
from utils.image_io import IMAGE_SUFFIXES
from utils.lines import numbered_lines
from utils.sample import Entry


def list_pairs(
    folder: Path,
    split: str | None,
    images: str,
    labels: str | None,
    list: str | None = None,
    label_suffixes: tuple[str, ...] = IMAGE_SUFFIXES,
) -> list[Entry]:
    """The images of a split with their label files.

    Args:
        folder: Of the data set.
        split: What `{split}` stands for in the names below.
        images: Folder or pattern of the images.
        labels: Folder or pattern of the label files, None for images alone.
        list: Text file of an image path and a label path a line, in place of the two; a tab parts
            them where one has a space.
        label_suffixes: Endings of label files.

    Raises:
        UserError: If a folder or file is missing, or an image or label has no partner.
    """
    if list:
        return read_list(folder, fill(list, split))
    find = from_patterns if has_pattern(images) or has_pattern(labels or "") else from_folder
    found = find(folder, split, images, IMAGE_SUFFIXES)
    if labels is None:
        return [Entry(name, path) for name, path in sorted(found.items())]
    return pair(found, find(folder, split, labels, label_suffixes))


def fill(text: str, split: str | None) -> str:
    if "{split}" in text and not split:
        raise UserError(f'{text!r} has a place for the split; give "split"')
    return text.replace("{split}", split or "")


def from_folder(
    folder: Path, split: str | None, name: str, suffixes: tuple[str, ...]
) -> dict[str, Path]:
    """Files by stem of `<split>/<name>` or `<name>/<split>`."""
    if split and "{split}" not in name:
        tried = [folder / split / name, folder / name / split]
    else:
        tried = [folder / fill(name, split)]
    found = next((place for place in tried if place.is_dir()), None)
    if found is None:
        raise UserError(f"there is no folder {' or '.join(map(str, tried))}")
    return list_images(found, suffixes)


def from_patterns(
    folder: Path, split: str | None, pattern: str, suffixes: tuple[str, ...]
) -> dict[str, Path]:
    """Files by what the stars of a pattern stand for."""
    pattern = fill(pattern, split)
    if not has_pattern(pattern):
        return list_images(folder / pattern, suffixes)
    if Path(pattern).is_absolute():
        raise UserError(f"{pattern!r}: patterns start below data_dir, {folder}")
    paths = [path for path in folder.glob(pattern) if path.suffix.lower() in suffixes]
    paths = [path for path in paths if not path.name.startswith(".")]
    if not paths:
        raise UserError(f"no image in {folder} matches {pattern!r}")
    return by_stem(paths, lambda path: starred(path.relative_to(folder).as_posix(), pattern))


def read_list(folder: Path, name: str) -> list[Entry]:
    """The pairs of a list file."""
    file = folder / name
    try:
        lines = numbered_lines(file)
    except UserError as error:
        raise UserError(f"list: {error}") from error
    entries, missing = [], []
    for number, line in lines:
        parts = paths_in(line)
        if len(parts) != 2:
            raise UserError(
                f"{file} line {number} holds {len(parts)} path{'' if len(parts) == 1 else 's'}; an "
                "image and a label path are needed, with a tab between them where one has a space"
            )
        image, label = (place(folder, part) for part in parts)
        gone = [
            f"{file} line {number}: there is no file {path}{f' or {part}' * part.startswith('/')}"
            for path, part in ((image, parts[0]), (label, parts[1]))
            if not path.is_file()
        ]
        missing += gone
        entries.append((Entry(str(Path(parts[0]).with_suffix("")).lstrip("/"), image, label), gone))
    refuse_unpaired(missing)
    require_names([entry.name for entry, _ in entries], file)
    return [entry for entry, gone in entries if not gone]


def paths_in(line: str) -> list[str]:
    """What tabs part, or in a line without any spaces."""
    return [part.strip() for part in line.split("\t" if "\t" in line else None) if part.strip()]


def place(folder: Path, path: str) -> Path:
    """The file of a path below a folder; one that starts with a slash may be there as it stands."""
    whole = path.startswith("/") and Path(path).is_file()
    return Path(path) if whole else folder / path.lstrip("/")


def has_pattern(text: str) -> bool:
    return "*" in text or "?" in text


def starred(path: str, pattern: str) -> str:
    """What the signs `**`, `*` and `?` of the pattern stand for in a path, joined by slashes."""
    form = re.escape(pattern).replace(r"\*\*/", "((?:.*/)?)").replace(r"\*", "([^/]*)")
    match = re.fullmatch(form.replace(r"\?", "([^/])"), path)
    return "/".join(match.groups()) if match else path
