"""Reading and writing images, with errors that name the file."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageSequence

from utils.errors import UserError

Image.MAX_IMAGE_PIXELS = None  # labels of any size: Pillow refuses 179 million pixels and more

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how one begins, of either byte order and size
SPREAD = {b"\x01": 255, b"\x02": 85, b"\x04": 17}  # bits of a grey PNG, OpenCV's factor to 0..255

ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)  # of EXIF


def read_image(path: Path, channels: int = 3) -> np.ndarray:
    """Read an image as (H, W, channels), uint8 or uint16 as stored, RGB where channels is 3.

    For 3 channels grey is repeated, a palette is looked up and alpha is dropped; for 1 colours
    become grey; for any other number the file must hold just that many, in a TIFF as pages too.
    EXIF orientation is applied for 3 and 1 channels.

    Raises:
        UserError: If the file is missing, unreadable, truncated, or holds other channels.
    """
    data = read_bytes(path)
    flags = {
        3: cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH,
        1: cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH,
    }
    try:
        image = decode(data, path, flags.get(channels, cv2.IMREAD_UNCHANGED))
    except UserError:
        image = decode(data, path, cv2.IMREAD_UNCHANGED)  # floating point, which is refused below
    if image.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path} holds {image.dtype} values; 8 and 16 bit images can be read")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.shape[2] in (3, 4):  # OpenCV has blue first; in place, for the image may be large
        swap = cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        cv2.cvtColor(image, swap, dst=image)
    if image.shape[2] != channels:
        image = pages(data) if path.suffix.lower() in (".tif", ".tiff") else image
    if image.shape[2] != channels:
        held = f"{image.shape[2]} channel{'' if image.shape[2] == 1 else 's'}"
        raise UserError(f"{path} holds {held}; the config asks for {channels}")
    return np.ascontiguousarray(image)


def is_turned(path: Path) -> bool:
    """Whether an image's EXIF orientation swaps its height and width."""
    try:
        with Image.open(path) as image:
            return image.getexif().get(ORIENTATION) in SIDEWAYS
    except (OSError, SyntaxError, ValueError):
        return False


def pages(data: bytes) -> np.ndarray:
    """The pages of a TIFF as channels, (H, W, C)."""
    _, found = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.dstack([page for page in found if page.shape == found[0].shape])


def read_label(path: Path) -> np.ndarray:
    """Read a label map as stored: (H, W) ids or palette indices, or (H, W, 3) RGB colours.

    Raises:
        UserError: If the file is missing, unreadable or truncated.
    """
    data = read_bytes(path)
    is_png, depth, kind = data[:4] == b"\x89PNG", data[24:25], data[25:26]
    if is_png and kind == b"\x03":  # a palette: its indices
        try:
            with Image.open(io.BytesIO(data)) as image:
                return np.array(image).astype(np.uint8)
        except (OSError, SyntaxError, ValueError) as error:
            raise unreadable(path, data) from error
    label = decode(data, path, cv2.IMREAD_UNCHANGED)
    if is_png and kind == b"\x00" and depth in SPREAD:
        label //= SPREAD[depth]
    if label.dtype.kind == "f":
        raise UserError(f"{path} holds {label.dtype} values; labels are whole numbers")
    if label.ndim == 3:
        return np.ascontiguousarray(label[:, :, 2::-1]) if label.shape[2] >= 3 else label[:, :, 0]
    return label


def read_bytes(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        UserError: If it cannot be read or its end is missing (OpenCV would fill the rest in).
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    jpeg_cut = data[:2] == b"\xff\xd8" and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    png_cut = data[:4] == b"\x89PNG" and b"IEND" not in data[-64:]
    if not data or jpeg_cut or png_cut:
        raise UserError(
            f"{path} is {'empty' if not data else 'truncated'}; "
            "copy it again or take it out of the data set"
        )
    return data


def decode(data: bytes, path: Path, flags: int) -> np.ndarray:
    if data[:4] in TIFF and is_damaged_tiff(data):
        raise UserError(f"{path} is damaged; copy it again or take it out of the data set")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise unreadable(path, data)
    return image


def is_damaged_tiff(data: bytes) -> bool:
    """The decoder fails somewhere in a TIFF, where OpenCV leaves black rows and says nothing.

    What Pillow does not know, such as 16 bits of three channels, is not judged.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            for page in ImageSequence.Iterator(image):
                page.load()
    except OSError as error:
        return str(error).startswith("decoder error")
    except (SyntaxError, ValueError, KeyError, TypeError):
        return False
    return False


def unreadable(path: Path, data: bytes) -> UserError:
    return UserError(f"{path} is not an image that can be read ({len(data)} bytes)")


def write_png(path: Path, image: np.ndarray, palette: list[list[int]] | None = None) -> None:
    """Write (H, W) ids or (H, W, 3) RGB as PNG.

    Args:
        path: File; its folder is made.
        image: uint8 or uint16.
        palette: RGB of each id, to write ids as a palette image that viewers show in colour.

    Raises:
        UserError: If the file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(image)
        if palette is not None and image.dtype == np.uint8:  # a palette has 256 places
            picture.putpalette(np.array(full_palette(palette), np.uint8).ravel().tolist())
        part = path.with_name(path.name + ".part")
        picture.save(part, format="PNG")
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB picture as PNG, and use its memory: its channels are swapped.

    Faster than `write_png`, and without a copy of the picture.

    Raises:
        UserError: If the file cannot be written.
    """
    part = path.with_name(path.name + ".part.png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.cvtColor(picture, cv2.COLOR_RGB2BGR, dst=picture)
        part.write_bytes(cv2.imencode(".png", picture)[1])  # OpenCV opens no name but UTF-8
        os.replace(part, path)
    except (OSError, cv2.error) as error:
        raise UserError(f"{path} cannot be written: {error}") from error


def full_palette(palette: list[list[int]]) -> list[list[int]]:
    """The palette with black in every place up to 256 that it leaves open."""
    return [*palette, *([[0, 0, 0]] * (256 - len(palette)))][:256]
