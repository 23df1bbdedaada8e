"""Turn another project's weights into ours, for `init_from`, where the network is the same.

python tools/import_weights.py --source smp --weights THEIRS.pth --config FILE --output OURS.pth
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402, F401 - registers everything a config may name
from base.base_model import BaseModel  # noqa: E402
from models import MODELS, rebuild  # noqa: E402
from utils import checkpoint  # noqa: E402
from utils.command import import_packages, run  # noqa: E402
from utils.config import read_arch  # noqa: E402
from utils.errors import UserError  # noqa: E402

log = logging.getLogger("segforge")

State = dict[str, Tensor]
Rules = list[tuple[str, str]]  # regular expressions and what they become, one after the other

UNUSED = "unused."  # in front of tensors that nothing here needs


def torchvision(theirs: State, model: BaseModel) -> State:
    """A classifier for the encoder; layers keep their names, behind the number of their stage."""
    if not any(name.startswith("encoder.") for name in model.state_dict()):
        raise UserError(
            f"{type(model).__name__} as the config has it has no encoder, and that is where "
            "torchvision's classifiers go; take a model with a backbone"
        )
    if any(name.startswith("backbone.") for name in theirs):
        raise UserError(
            "these are weights of a segmentation model of torchvision's, and none here is the "
            "same; take those of the classifier that is its backbone"
        )
    last = max([int(number) for number in re.findall(r"features\.(\d+)", " ".join(theirs))] or [0])
    rules = [
        (r"^(features\.)?", "encoder."),
        (r"transition(\d)\.norm\.", r"transition\1_norm.0."),
        (r"transition(\d)\.conv\.", r"transition\1_pool.0."),
    ]
    ours, own = staged(renamed(theirs, rules), model), model.state_dict()
    # several encoders here end before the 1x1 convolution that widens for the classifier
    end = re.compile(rf"encoder\.(fc|classifier|{last})\.")
    return {
        UNUSED + name if end.match(name) and name not in own else name: value
        for name, value in ours.items()
    }


def smp(theirs: State, model: BaseModel) -> State:
    """segmentation_models.pytorch; ResNets and VGGs are torchvision's, "tu-" encoders timm's."""
    if not getattr(model, "align_corners", True):
        raise UserError('smp\'s FPN aligns corners; set "align_corners" to true in arch.args')
    rules = [
        (r"^encoder\.model\.", "encoder.net."),
        (r"^encoder\.features\.", "encoder."),
        (r"^decoder\.blocks\.(\d)\.conv1\.", r"decoder.steps.\1.convs.0."),
        (r"^decoder\.blocks\.(\d)\.conv2\.", r"decoder.steps.\1.convs.1."),
        (r"^segmentation_head\.0\.", "head.heads.out."),
    ]
    for level in range(4):  # FPN's p2 to p5; the segmentation blocks begin with p5's
        rules += [
            (rf"^decoder\.p{level + 2}\.(skip_conv\.)?", f"laterals.{level}."),
            (rf"^decoder\.seg_blocks\.{3 - level}\.block\.(\d)\.block\.", rf"levels.{level}.\1."),
        ]
    return staged(renamed(theirs, rules), model)


def pytorch_segmentation(theirs: State, model: BaseModel) -> State:
    """Its U-Net, which puts the skip before the enlarged map where ours puts it behind."""
    rules = [
        (r"^start_conv\.", "contracting.levels.0."),
        (r"^down(\d)\.down_conv\.", r"contracting.levels.\1."),
        (r"^middle_conv\.", "contracting.levels.5."),
        *((rf"^up{step + 1}\.up\.", f"decoder.steps.{step}.up.") for step in range(4)),
        *((rf"^up{step + 1}\.up_conv\.", f"decoder.steps.{step}.convs.") for step in range(4)),
        (r"(levels\.\d|convs)\.(\d)\.(\w+)$", r"\1.0.\2.\3"),
        (r"\.0\.3\.(\w+)$", r".1.0.\1"),  # the second convolution and its norm
        (r"\.0\.4\.(\w+)$", r".1.1.\1"),
        (r"^final_conv\.", "head.heads.out."),
    ]
    return {
        name: value.roll(value.shape[1] // 2, 1) if name.endswith("convs.0.0.weight") else value
        for name, value in renamed(theirs, rules).items()
    }


def spoco(theirs: State, model: BaseModel) -> State:
    """pytorch-3dunet's names. Of two networks the first is taken; the other is its average."""
    found = (re.match(r"(.*?)(encoders|decoders|final_conv)\.", name) for name in theirs)
    prefix = re.escape(next((match[1] for match in found if match), ""))
    rules = [
        (rf"^(?!{prefix})", UNUSED),
        (rf"^{prefix}", ""),
        (r"^encoders\.(\d)\.basic_module\.SingleConv1\.", r"down.\1.0."),
        (r"^encoders\.(\d)\.basic_module\.SingleConv2\.", r"down.\1.1."),
        (r"^decoders\.(\d)\.basic_module\.SingleConv1\.", r"up.\1.0."),
        (r"^decoders\.(\d)\.basic_module\.SingleConv2\.", r"up.\1.1."),
        (r"^final_conv\.", "head.heads.out."),
    ]
    kinds = {nn.Conv2d: "conv", nn.BatchNorm2d: "batchnorm", nn.GroupNorm: "groupnorm"}
    for place, layer in enumerate(model.down[0][0]):  # in the order of the config's letters
        if type(layer) in kinds:
            rules.append((rf"\.{kinds[type(layer)]}\.", f".{place}."))
    return renamed(theirs, rules)


@dataclass(frozen=True)
class Source:
    """A project whose weights can be taken.

    Attributes:
        convert: Gives the file's tensors our names; one with another name has no place here.
        fits: What of ours is the same network, in words.
        models: Its types; any where there are none, for the encoder alone.
        head: Name of the file's tensor with an entry for each output channel.
    """

    convert: Callable[[State, BaseModel], State]
    fits: str
    models: tuple[str, ...] = ()
    head: str = ""


SOURCES = {
    "torchvision": Source(torchvision, "classifiers, for the encoder of any model"),
    "smp": Source(
        smp,
        "UNet and FPN, on a ResNet or one of timm's backbones, FPN on a VGG too",
        ("UNet", "FPN"),
        "segmentation_head.0.bias",
    ),
    "pytorch-segmentation": Source(
        pytorch_segmentation, "UNet without a backbone", ("UNet",), "final_conv.bias"
    ),
    "spoco": Source(spoco, "UNet2D, alone or in a MeanTeacher", ("UNet2D",), "final_conv.bias"),
}


def renamed(state: State, rules: Rules) -> State:
    """The same tensors under the names that the rules make of theirs."""
    result = {}
    for name, value in state.items():
        for pattern, target in rules:
            name = re.sub(pattern, target, name)
        result[name] = value
    return result


def staged(state: State, model: BaseModel) -> State:
    """The same with the numbers of the encoder's stages put into the names."""
    own = {re.sub(r"^(encoder\.)stages\.\d+\.", r"\1", name): name for name in model.state_dict()}
    return {own.get(name, name): value for name, value in state.items()}


def converted(
    source: Source, theirs: State, network: BaseModel, path: Path
) -> tuple[State, list[str]]:
    """Our tensors for a network, which they must fill, and the file's names of those not needed."""
    named = source.convert(theirs, network)
    if len(named) != len(theirs):
        raise UserError(
            f"{path} has several tensors for one place; what can be taken: {source.fits}"
        )
    places = zip(theirs, named, strict=True)
    left = [their for their, place in places if place.startswith(UNUSED)]
    ours = {name: value for name, value in named.items() if not name.startswith(UNUSED)}
    rest = {  # what the file need not hold
        name: value
        for name, value in network.state_dict().items()
        if name.endswith("num_batches_tracked")
        or not source.head
        and not name.startswith("encoder.")
    }
    try:
        checkpoint.load_weights(network, rest | ours, path)
    except UserError as error:
        hint = ""
        if network.in_channels != 3:
            hint = (
                "; for images of other channels import with --set arch.args.in_channels=3, which "
                "init_from adapts"
            )
        raise UserError(f"{error}; what can be taken: {source.fits}{hint}") from error
    return ours, left


def main(args: argparse.Namespace) -> None:
    import_packages(args.imports)
    if not os.access(args.output.parent, os.W_OK):
        raise UserError(f"--output {args.output}: its folder is missing or cannot be written to")
    source = SOURCES[args.source]
    arch = MODELS.resolve(read_arch(args.config, args.set)["arch"])
    can = f"of {args.source} can be taken: {source.fits}"
    theirs = checkpoint.tensors(checkpoint.load(args.weights))
    head = next((value for name, value in theirs.items() if name.endswith(source.head)), None)
    channels = 1 if head is None or not source.head else len(head)
    model = rebuild({"arch": arch, "out_channels": channels})
    network = getattr(model, "student", model)  # of a MeanTeacher
    kind = type(network).__name__
    if source.models and kind not in source.models:
        raise UserError(f"the config's network is {kind}; {can}")
    if head is None:
        raise UserError(f"{args.weights} has no tensor {source.head or 'at all'}; {can}")
    ours, left = converted(source, theirs, network, args.weights)
    second = {name: theirs[name] for name in left}
    if network is not model and source.head and any(n.endswith(source.head) for n in second):
        average, left = converted(source, second, network, args.weights)
        ours = {f"student.{name}": value for name, value in ours.items()} | {
            f"teacher.{name}": value for name, value in average.items()
        }
        log.info("the file's first network is the student, its second the teacher")
    elif network is not model:
        log.info("init_from puts the network into student and teacher")
    checkpoint.save(ours, args.output)
    log.info("%d tensors of %s written to %s", len(ours), args.weights, args.output)
    if left:
        log.info("%d that nothing here needs left out, such as %s", len(left), left[0])
    log.info('start a run from them with "init_from": "%s"', args.output)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--source", required=True, choices=SOURCES, help="project that the weights come from")
    add("--weights", required=True, type=Path, help="its state dict, or a checkpoint that holds it")
    add("--config", required=True, help='JSON file whose "arch" is the same network')
    add("--output", required=True, type=Path, help="file to write, for init_from")
    add("--set", action="append", default=[], metavar="a.b=value", help="override the config")
    add("--import", dest="imports", action="append", default=[], metavar="PACKAGE")
    return parser.parse_args(argv)


if __name__ == "__main__":
    arguments = parse()
    raise SystemExit(run(lambda: main(arguments)))
