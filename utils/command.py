"""What every command does around its work: errors, exit codes, imports of a user's package."""

from __future__ import annotations

import argparse
import importlib
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

from utils.distributed import PeerError
from utils.errors import UserError, memory_full
from utils.interrupt import Interrupted
from utils.logger import start_logging
from utils.postprocess.command_line import add_postprocess_option
from utils.predictors.command_line import add_predictor_options


def run(work: Callable[[], None]) -> int:
    """Do the work; the exit code is 0 when done, 2 for what the user can mend.

    128 + the signal's number after a signal; a fault of the program keeps its traceback, code 1.
    """
    start_logging()
    try:
        work()
        return 0
    except PeerError:
        return 2
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (RuntimeError, MemoryError) as error:
        full = memory_full(error)
        if not full:
            raise
        print(
            f"error: {full}; predict in windows, --mode sliding --window 512, or train with a "
            "smaller batch_size or crop_size",
            file=sys.stderr,
        )
        return 2
    except Interrupted as stop:
        if str(stop):  # of several processes the main one speaks
            print(stop, file=sys.stderr)
        return stop.exit_code
    except BrokenPipeError:  # as in `train.py --list | head`
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command."""
    parser.add_argument("-d", "--device", help='"cpu", or GPU numbers such as 0,1')
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="import a package that registers classes of your own",
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options of a command that predicts with a trained model."""
    add_common_options(parser)
    parser.add_argument("-m", "--model", required=True, type=Path, help="checkpoint of a run")
    config = "JSON file whose predictor, labeler and postprocess go before the checkpoint's"
    parser.add_argument("-c", "--config", type=Path, help=config)
    add_predictor_options(parser)
    add_postprocess_option(parser)


def at_least(least: float, kind: type = int) -> Callable[[str], float]:
    """The type of an option that is a number from `least` up."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = least - 1
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} up")
        return value

    return read


def import_packages(names: list[str]) -> None:
    """Import a user's packages, which register their classes; the working directory is searched.

    Raises:
        UserError: If one is not found.
    """
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name and name.split(".")[0] != error.name.split(".")[0]:
                raise UserError(
                    f"--import {name}: it needs {error.name}, which is not installed"
                ) from error
            raise UserError(
                f"--import {name}: there is no such package in {os.getcwd()} or on PYTHONPATH"
            ) from error
