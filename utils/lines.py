"""Lines of text files, as users write them."""

from __future__ import annotations

from pathlib import Path

from utils.errors import UserError


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file that are not blank, without the space around them.

    Raises:
        UserError: If it cannot be read as text.
    """
    return [line for _, line in numbered_lines(path)]


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """As `read_lines`, each with its number from 1; a byte order mark belongs to none of them."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text: {error}") from error
    lines = enumerate(text.splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]
