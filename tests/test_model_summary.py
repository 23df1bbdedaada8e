"""Sizes and costs that a reader can redo, and the command that prints them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from base.base_model import BaseModel
from dataloaders.factory import class_count
from models import MODELS
from models.encoders import make_encoder
from tools import model_summary
from utils.command import run
from utils.model_size import model_size, receptive_field

ROOT = Path(__file__).parent.parent


def of(name: str, size=(3, 64, 64), channels=21, **args):
    with torch.device("meta"):
        model = MODELS.build({"type": name, "args": args}, out_channels=channels)
    return model_size(model, size)


def test_multiply_adds_of_a_resnet_are_torchvisions():
    """torchvision lists 1.814 GMACs for ResNet-18 at 224x224, 0.001 of them in its classifier."""
    size = of("FPN", (3, 224, 224), backbone="resnet18")
    encoder = next(block for block in size.blocks if block.name == "encoder")
    assert encoder.macs / 1e9 == pytest.approx(1.8136, abs=1e-3)
    assert encoder.parameters == 11_176_512


def test_a_head_by_hand():
    """FPN's head: 128 channels to 21 at a quarter of 64 pixels, 16 * 16 * 128 * 21."""
    size = of("FPN", backbone="resnet18")
    head = next(block for block in size.blocks if block.name == "head")
    assert head.macs == 16 * 16 * 128 * 21 and head.parameters == 128 * 21 + 21
    assert head.activations == 4 * 21 * 16 * 16


@pytest.mark.parametrize("name", MODELS)
def test_the_blocks_add_up_to_the_whole(name):
    """Also where a model calls the layers of a list or a stage one by one, as SegNet does."""
    size = of(name)
    top = [block for block in size.blocks if "." not in block.name]
    assert sum(block.macs for block in top) == size.macs > 0
    assert sum(block.activations for block in top) == size.activations > 0


def test_stages_called_layer_by_layer_have_their_multiply_adds():
    """VGG's last convolution, 512 to 512 at a sixteenth of 64 pixels, is in stage 4."""
    blocks = {block.name: block for block in of("SegNet").blocks}
    three = 3 * 9 * 512 * 512 * 4 * 4
    assert blocks["encoder.stages"].macs == blocks["encoder"].macs > blocks["head"].macs
    with torch.device("meta"):
        model = MODELS.build("SegNet", out_channels=2)
    deep = {block.name: block for block in model_size(model, (3, 64, 64), depth=3).blocks}
    assert deep["encoder.stages.4"].macs == three


class Chain(BaseModel):
    """A convolution and layers that give nothing new in prediction."""

    def __init__(self, *later: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 5, 1), *later)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.layers(image)}


@pytest.mark.parametrize(
    ("later", "maps"),
    [
        ([], 1),
        ([nn.ReLU(inplace=True)], 1),
        ([nn.Dropout(), nn.Dropout2d(), nn.Identity()], 1),
        ([nn.ReLU()], 2),
        ([nn.ReLU(inplace=True), nn.Conv2d(5, 5, 1)], 2),
    ],
)
def test_memory_is_counted_once(later, maps):
    with torch.device("meta"):
        model = Chain(*later)
    assert model_size(model, (3, 64, 64)).activations == maps * 4 * 5 * 64 * 64


def test_memory_of_maxima_and_their_places():
    """Half the side: a quarter of the numbers, of 4 bytes each and of 8 for the place."""
    with torch.device("meta"):
        model = Chain(nn.MaxPool2d(2, return_indices=True))
    assert model_size(model, (3, 64, 64)).activations == 5 * 64 * 64 * (4 + 12 // 4)


def test_an_auxiliary_head_is_stored_but_not_executed():
    size = of("PSPNet", backbone="resnet18")
    aux = 9 * 256 * 64 + 2 * 64 + 64 * 21 + 21
    assert size.stored - size.executed == aux
    assert of("PSPNet", backbone="resnet18", use_aux=False).executed == size.executed


def test_a_parameter_of_the_model_itself_is_executed():
    with torch.device("meta"):
        model = MODELS.build("ENet", out_channels=2)
        before = model_size(model, (3, 64, 64))
        model.scale = torch.nn.Parameter(torch.empty(5))
    after = model_size(model, (3, 64, 64))
    assert (after.stored, after.executed) == (before.stored + 5, before.executed + 5)


def test_receptive_fields_are_the_known_ones():
    """Araujo et al., Computing Receptive Fields of CNNs, 2019: VGG-16's fifth pool sees 212,
    ResNet-50 483, ResNet-101 1027. torchvision has a block's stride in its 3x3, not in the 1x1
    before it, so that three of them see 2 * (32 - 4) = 56 pixels less."""
    with torch.device("meta"):
        fields = {n: receptive_field(make_encoder(n)) for n in ("vgg16", "resnet50", "resnet101")}
    assert fields == {"vgg16": 212, "resnet50": 483 - 56, "resnet101": 1027 - 56}


def test_the_command_prints_the_known_figure_within_80_columns():
    command = [
        *(sys.executable, "tools/model_summary.py", "--arch", "UNet", "--classes", "8"),
        *("--input-size", "3,512,1024", "--depth", "1"),
        *("--set", "arch.args.backbone=resnext50", "--set", "arch.args.wide_decoder=true"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "58,111,560" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    "words, message",
    [
        ((), "name a model: --arch UNet, or -c CONFIG"),
        (("--arch", "UNett"), "unknown 'UNett'; did you mean 'UNet'"),
        (("--arch", "UNet", "--input-size", "512"), "write channels,height,width"),
        (("--arch", "UNet", "--input-size", "3,8,8"), "height and width are at least 64"),
        (("--arch", "UNet", "--depth", "0"), "--depth 0: at least 1 is needed"),
        (("--arch", "UNet", "--classes", "-1"), "--classes -1: at least 1 is needed"),
    ],
)
def test_bad_input(words, message, capsys):
    assert run(lambda: model_summary.main(model_summary.parse([*words]))) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "words", "channels"),
    [
        ("cityscapes_spoco_car_40pct", (), "8 out"),
        ("tusimple_enet_two_heads", (), "4 embedding, 2 semantic"),
        ("cityscapes_fine_and_coarse", (), "19 out"),
        ("voc_pspnet", (), "21 out"),
        ("voc_pspnet", ("--classes", "5"), "5 out"),
    ],
)
def test_the_channels_of_a_config_are_those_it_trains(config, words, channels, capsys):
    """Without its data: the loss reads embeddings, classes, or one of each."""
    words = ["-c", str(ROOT / f"configs/{config}.json"), "--depth", "1", *words]
    model_summary.main(model_summary.parse([*words, "--input-size", "3,64,64"]))
    line = capsys.readouterr().out.splitlines()[0]
    assert f"channels: {channels}; one image of 3,64,64" in line


def test_classes_of_a_data_set_that_only_its_files_tell(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(model_summary, "class_count", lambda section: None)
    (tmp_path / "config.json").write_text(json.dumps(tiny))
    words = ["-c", str(tmp_path / "config.json"), "--input-size", "3,64,64"]
    assert run(lambda: model_summary.main(model_summary.parse(words))) == 2
    assert "give their number with --classes" in capsys.readouterr().err
    assert run(lambda: model_summary.main(model_summary.parse([*words, "--classes", "3"]))) == 0


@pytest.mark.parametrize(
    ("section", "count"),
    [
        ({"type": "Cityscapes", "args": {"classes": 8}}, 8),
        ({"type": "Folder", "args": {"classes": ["a", "b", "c"]}}, 3),
        ({"type": "FolderInstances", "args": {}}, 2),
        ({"type": "Repeat", "args": {"dataset": {"type": "CamVid", "args": {}}}}, 11),
    ],
)
def test_class_count(section, count):
    assert class_count(section) == count


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--set", "arch.args.model.type=UNet2D"], 0, "one image of 4,64,64"),
        ([], 2, "the model reads 3 channels"),
    ],
)
def test_channels_reach_the_model_inside_another(more, code, says, capsys):
    argv = ["--arch", "MeanTeacher", "--input-size", "4,64,64", *more]
    assert run(lambda: model_summary.main(model_summary.parse(argv))) == code
    captured = capsys.readouterr()
    assert says in captured.out + captured.err
