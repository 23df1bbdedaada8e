"""How a command names post-processing: `--postprocess RemoveSmall min_size=100 KeepLargest`."""

from __future__ import annotations

import argparse
import json

from utils.errors import UserError
from utils.postprocess.postprocessor import POSTPROCESSORS
from utils.schema import check_section


def add_postprocess_option(parser: argparse.ArgumentParser) -> None:
    """The option that names the steps on label maps."""
    parser.add_argument(
        "--postprocess",
        nargs="*",
        metavar="STEP|key=value",
        help="steps on label maps, each with its arguments (the checkpoint's); none without a step",
    )


def chosen_postprocess(words: list[str] | None, default: list[dict]) -> list[dict]:
    """The sections that the words of `--postprocess` describe; the default's without the option.

    A word without "=" starts a step, one with it is an argument of that step, its value JSON or
    plain text.

    Raises:
        UserError: If a step is unknown or an argument does not fit it.
    """
    if words is None:
        return default
    sections: list[dict] = []
    for word in words:
        key, equals, raw = word.partition("=")
        if not equals:
            sections.append({"type": word, "args": {}})
        elif not sections:
            raise UserError(f"--postprocess {word}: name a step first, such as RemoveSmall")
        else:
            sections[-1]["args"][key] = parsed(raw)
    for section in sections:
        check_section(section, POSTPROCESSORS.kind, "--postprocess")
    return sections


def parsed(raw: str) -> object:
    try:
        return json.loads(raw)
    except json.JSONDecodeError:
        return raw
