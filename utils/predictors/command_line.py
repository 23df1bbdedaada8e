"""How a command names its predictor: `--mode sliding --window 512 --flip`."""

from __future__ import annotations

import argparse
from typing import Any

from utils.errors import UserError
from utils.predictors.predictor import PREDICTORS
from utils.schema import check_section


def add_predictor_options(parser: argparse.ArgumentParser) -> None:
    """The options that choose how images of any size are predicted."""
    add = parser.add_argument
    add("--mode", help="predictor: whole, sliding, multiscale (the checkpoint's)")
    add("--window", type=numbers, metavar="N|H,W", help="side of a sliding window in pixels (512)")
    add("--overlap", type=float, help="share of a window that the next one covers again (0.5)")
    add("--scales", type=numbers, metavar="S,S,...", help="average predictions at these scales")
    add("--flip", action="store_true", help="average with the prediction of the mirrored image")


def numbers(text: str) -> list[float]:
    """ "512" or "0.75,1,1.25" as numbers, whole ones as int.

    Raises:
        argparse.ArgumentTypeError: If a part is none.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 1,1.5") from error
    return [int(value) if value.is_integer() else value for value in values]


def chosen_predictor(args: argparse.Namespace, default: dict) -> dict:
    """The section of the predictor that a command line asks for.

    `--window` and `--overlap` are those of `Sliding`, `--scales` and `--flip` those of
    `MultiScale`, which goes around it; what is not asked for is the default's.

    Args:
        args: With the options of `add_predictor_options`.
        default: The checkpoint's section.

    Raises:
        UserError: If there is no such predictor, or an option does not go with it.
    """
    sliding = given(window=args.window and side(args.window), overlap=args.overlap)
    views = given(scales=args.scales, flip=args.flip or None)
    section = PREDICTORS.resolve(by_mode(args.mode) if args.mode else default)
    outer = section["type"] == "MultiScale"
    if sliding:
        if args.mode and section["type"] not in ("Sliding", "MultiScale"):
            raise UserError(f"--window and --overlap go with --mode sliding, not {args.mode}")
        section = in_windows(section, **sliding)
    if outer:
        section = with_args(section, **views)
    elif views:
        views = {"scales": [1], "flip": False, **views}
        section = {"type": "MultiScale", "args": {**views, "predictor": section}}
    if section["type"] in PREDICTORS:
        check_section(section, "predictor", "the predictor")
    return section


def in_windows(section: dict, **values: Any) -> dict:
    """A predictor's section with windows of these arguments, those of each view of `MultiScale`.

    What is not among the values stays where it predicted in windows already.
    """
    outer = section["type"] == "MultiScale"
    inner = section["args"].get("predictor") if outer else section
    own = inner["args"] if inner and inner["type"] == "Sliding" else {}
    inner = {"type": "Sliding", "args": {**own, **values}}
    return with_args(section, predictor=inner) if outer else inner


def by_mode(mode: str) -> str:
    """The predictor a `--mode` means: its name, in any case."""
    return next((name for name in PREDICTORS.names() if name.lower() == mode.lower()), mode)


def given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def with_args(section: dict, **values: Any) -> dict:
    return {**section, "args": {**section["args"], **values}}


def side(window: list[float]) -> float | list[float]:
    return window[0] if len(window) == 1 else window
