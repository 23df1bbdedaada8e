"""Check every file of a config's data, and show what is there: counts, labels, pictures.

    python tools/check_data.py -c CONFIG

Problems are listed, each in a sentence with its file; the exit code is 2 where there are any. The
output folder gets report.html, report.json and a sheet of pictures for each loader.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402, F401 - registers everything a config may name
from base.base_dataset import BaseDataset  # noqa: E402
from dataloaders import make_dataset, make_loader  # noqa: E402
from dataloaders.check import remember  # noqa: E402
from dataloaders.files import noting_unpaired  # noqa: E402
from dataloaders.survey.faults import Fault, doubts, duplicates, faults, repeats  # noqa: E402
from dataloaders.survey.hints import Hint, hints  # noqa: E402
from dataloaders.survey.look import Look, survey  # noqa: E402
from dataloaders.survey.pictures import Exhibit, exhibits, titles  # noqa: E402
from dataloaders.survey.summary import summary  # noqa: E402
from utils.command import import_packages, run  # noqa: E402
from utils.config import read_config  # noqa: E402
from utils.engine.run_folder import make_folder  # noqa: E402
from utils.errors import UserError  # noqa: E402
from utils.image_io import write_png  # noqa: E402
from utils.logger import printable  # noqa: E402
from utils.report.data_report import make_data_report  # noqa: E402
from utils.report.folder import write_json  # noqa: E402
from utils.visualize import contact_sheet  # noqa: E402

log = logging.getLogger("segforge")

SPLITS = ("train", "val", "test")
PICTURES, CELL = 12, 240
SHOWN = 20  # problems of a loader on the terminal


@dataclass
class Part:
    """What was found in the data of one loader section.

    Attributes:
        dataset: None where it could not be built.
        looks: One a sample.
        faults: What must be mended.
        doubts: What may be meant so.
        hints: What would mend faults.
    """

    dataset: BaseDataset | None = None
    looks: list[Look] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    hints: list[Hint] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """As plain values, for report.json."""
        numbers = {} if self.dataset is None else summary(self.dataset, self.looks)
        return {
            **numbers,
            "problems": [fault._asdict() for fault in self.faults],
            "doubts": self.doubts,
            "hints": [hint._asdict() for hint in self.hints],
        }

    def exhibits(self) -> list[Exhibit]:
        if self.dataset is None:
            return []
        return exhibits(self.dataset, self.looks, self.faults, PICTURES)


def look_at(config: dict, name: str) -> Part:
    """What lies in the data of a loader; what cannot be listed, or made a batch, is a fault too."""
    section, ignore_index = config[f"{name}_loader"], config["ignore_index"]
    part = Part()
    with noting_unpaired() as unpaired:
        try:
            part.dataset = make_dataset(section, ignore_index)
        except UserError as error:
            part.faults.append(Fault("data set", str(error)))
    part.faults += [Fault("unpaired", text) for text in unpaired]
    if part.dataset is None:
        return part
    if not unpaired:
        part.faults += refused(config, name)
    part.looks = survey(part.dataset)
    part.faults += faults(part.dataset, part.looks)
    part.doubts = doubts(part.dataset, part.looks) + repeats(part.looks)
    part.hints = hints(part.dataset, part.looks)
    if not part.faults:
        remember(part.dataset, part.looks)
    return part


def refused(config: dict, name: str) -> list[Fault]:
    """What a loader and its augmentation say against their arguments."""
    section, training = config[f"{name}_loader"], name == "train"
    transforms = config["transforms"] if training else None
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's, of more workers than cores
            dataset = make_dataset(section, config["ignore_index"], transforms, training)
            make_loader(section, dataset, training)
    except UserError as error:
        return [Fault("data set", str(error))]
    return []


def tell(name: str, part: Part) -> None:
    """The result of one loader on the terminal."""
    count = len(part.faults)
    images = f"{counted(len(part.looks), 'image')}, " if part.dataset else ""
    log.info("%s_loader: %s%s", name, images, counted(count, "problem"))
    for fault in part.faults[:SHOWN]:
        log.info("  %s", fault.text)
    if count > SHOWN:
        log.info("  and %d more in the report", count - SHOWN)
    for hint in part.hints:
        log.info("  hint: %s", hint)
    for doubt in part.doubts[:SHOWN]:
        log.info("  note: %s", doubt)
    if len(part.doubts) > SHOWN:
        log.info("  and %d more notes in the report", len(part.doubts) - SHOWN)


def counted(number: int, thing: str) -> str:
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"


def write_report(folder: Path, name: str, about: dict[str, str], parts: dict[str, Part]) -> None:
    """report.json, report.html, and a sheet of pictures for each loader."""
    facts = {loader: part.facts() for loader, part in parts.items()}
    total = sum(len(part.faults) for part in parts.values())
    write_json(folder / "report.json", {"name": name, **about, "problems": total, "loaders": facts})
    shown = {loader: part.exhibits() for loader, part in parts.items()}
    for loader in SPLITS:
        (folder / f"{loader}.png").unlink(missing_ok=True)  # of an earlier check
    for loader, part in parts.items():
        if shown[loader]:
            place = f"{part.dataset.data_dir}/"
            captions = [exhibit.caption.replace(place, "") for exhibit in shown[loader]]
            rows = [exhibit.pictures for exhibit in shown[loader]]
            sheet = contact_sheet(rows, titles(part.dataset), captions, CELL, beside=2)
            write_png(folder / f"{loader}.png", sheet)
    palettes = {loader: part.dataset.palette for loader, part in parts.items() if part.dataset}
    page = make_data_report(name, about, facts, palettes, shown)
    (folder / "report.html").write_text(printable(page), encoding="utf-8")


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    config = read_config(args.config, args.set)
    wanted = args.split or [name for name in SPLITS if config[f"{name}_loader"]]
    for name in wanted:
        if config[f"{name}_loader"] is None:
            raise UserError(f"{args.config} has no {name}_loader")
    make_folder(args.output, "--output")
    parts = {name: look_at(config, name) for name in SPLITS if name in wanted}
    for name, found in duplicates({name: part.looks for name, part in parts.items()}).items():
        parts[name].faults += found
    for name, part in parts.items():
        tell(name, part)
    write_report(args.output, config["name"], {"config": args.config}, parts)
    total = sum(len(part.faults) for part in parts.values())
    where = f"{args.output / 'report.html'} and report.json"
    if total:
        raise UserError(
            f"{counted(total, 'problem')} in the data of {args.config}; they are in {where}"
        )
    log.info("pictures, class weights and all numbers: %s", where)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("-c", "--config", required=True, help="JSON file of the run")
    override = "override a value of the config; may be given again"
    add("--set", action="append", default=[], metavar="a.b=value", help=override)
    add("--split", nargs="+", choices=SPLITS, help="which loaders (all)")
    add("-o", "--output", type=Path, default=Path("data_check"), help="folder (data_check)")
    add("--import", dest="imports", action="append", default=[], metavar="PACKAGE")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
