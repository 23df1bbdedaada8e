"""Imported weights give the outputs that they gave in the project they come from."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from models import rebuild
from models.init_from import start_from
from tools import import_weights
from utils.command import run

IMAGE = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def command(tiny, tmp_path):
    """Runs the tool on a state dict for an `arch`; gives the exit code and the file written."""

    def call(source: str, theirs: dict, arch: dict) -> tuple[int, Path]:
        torch.save(theirs, tmp_path / "theirs.pth")
        (tmp_path / "config.json").write_text(json.dumps(tiny | {"arch": arch}))
        argv = ["--source", source, "--weights", str(tmp_path / "theirs.pth")]
        argv += ["--config", str(tmp_path / "config.json"), "--output", str(tmp_path / "ours.pth")]
        return run(lambda: import_weights.main(import_weights.parse(argv))), tmp_path / "ours.pth"

    return call


@pytest.fixture
def imported(command):
    """Our model with the weights of another project's."""

    def call(source: str, theirs: dict, name: str, channels: int = 1, **args) -> nn.Module:
        arch = {"type": name, "args": args}
        code, path = command(source, theirs, arch)
        assert code == 0
        identity = {"arch": arch, "out_channels": channels, "classes": ["?"] * channels}
        model = rebuild(identity)
        report = start_from(model, path, identity)
        assert not report.skipped and not report.adapted
        kind = ("encoder.",) if source == "torchvision" else ""
        assert not [name for name in report.missing if name.startswith(kind)]
        return model.eval()

    return call


def lively(model: nn.Module) -> nn.Module:
    """Norms away from the identity, in eval mode."""
    generator = torch.Generator().manual_seed(1)
    for value in model.state_dict().values():
        if value.is_floating_point() and value.ndim == 1:
            value.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def close(ours: Tensor, theirs: Tensor) -> None:
    scale = float(theirs.abs().max())
    torch.testing.assert_close(ours / scale, theirs / scale, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------- torchvision


@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "vgg13_bn", "densenet121", "mobilenet_v2", "mobilenet_v3_small"),
        *("efficientnet_b0", "convnext_tiny"),
    ],
)
@torch.no_grad()
def test_torchvision(name, imported):
    torch.manual_seed(0)
    net = lively(torchvision.models.get_model(name))
    if hasattr(net, "classifier"):
        net.classifier = nn.Linear(2, 2)  # VGG's own is half a gigabyte
    model = imported("torchvision", net.state_dict(), "FPN", backbone=name)
    layers = [*(net.features if hasattr(net, "features") else net).children()]
    cut = {"resnet18": -2, "mobilenet_v2": -1, "efficientnet_b0": -1}.get(name)
    theirs = nn.Sequential(*layers[:cut])(IMAGE)
    close(model.encoder(IMAGE)[-1], theirs.relu() if name == "densenet121" else theirs)


def test_a_config_of_its_arch_alone(tmp_path, capsys):
    """Other channels are told how, since init_from adapts them."""
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "theirs.pth")
    words = ["--source", "torchvision", "--weights", str(tmp_path / "theirs.pth")]
    words += ["--config", str(tmp_path / "arch.json"), "--output", str(tmp_path / "ours.pth")]
    arch = {"type": "FPN", "args": {"backbone": "resnet18", "in_channels": 4}}
    (tmp_path / "arch.json").write_text(json.dumps({"arch": arch}))
    assert run(lambda: import_weights.main(import_weights.parse(words))) == 2
    hint = "import with --set arch.args.in_channels=3, which init_from adapts"
    assert hint in capsys.readouterr().err
    words += ["--set", "arch.args.in_channels=3"]
    assert run(lambda: import_weights.main(import_weights.parse(words))) == 0
    (tmp_path / "arch.json").write_text(json.dumps({"name": "none"}))
    words = words[:-2]
    assert run(lambda: import_weights.main(import_weights.parse(words))) == 2
    assert 'arch.json names no model: "arch" is missing' in capsys.readouterr().err


# ---------------------------------------------------------------- segmentation_models.pytorch


@pytest.mark.parametrize(
    ("theirs", "ours", "args", "backbone"),
    [
        *(("Unet", "UNet", {}, name) for name in ("resnet18", "resnet34", "timm/resnet10t")),
        *(
            ("FPN", "FPN", {"align_corners": True}, name)
            for name in ("resnet18", "resnet34", "vgg13_bn", "vgg16", "timm/resnet10t")
        ),
    ],
)
@torch.no_grad()
def test_smp(theirs, ours, args, backbone, imported):
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    encoder = backbone.replace("timm/", "tu-")
    net = lively(getattr(smp, theirs)(encoder, encoder_weights=None, classes=5))
    model = imported("smp", net.state_dict(), ours, 5, backbone=backbone, **args)
    close(model(IMAGE)["out"], net(IMAGE))


# ---------------------------------------------------------------- pytorch-segmentation


def two_convs(before: int, after: int) -> nn.Sequential:
    """3x3, norm, ReLU, twice; half the width between."""
    inner = after // 2
    return nn.Sequential(
        *(nn.Conv2d(before, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner), nn.ReLU()),
        *(nn.Conv2d(inner, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()),
    )


class PytorchSegmentationUNet(nn.ModuleDict):
    """Its U-Net after the facts: the names of its parts, skips first."""

    def __init__(self, classes: int):
        widths = (64, 128, 256, 512, 1024)
        super().__init__({"start_conv": two_convs(3, 64), "middle_conv": two_convs(1024, 1024)})
        for step, (fine, deep) in enumerate(zip(widths[:-1], widths[1:], strict=True), start=1):
            self[f"down{step}"] = nn.ModuleDict({"down_conv": two_convs(fine, deep)})
            up = {"up": nn.ConvTranspose2d(deep, fine, 2, 2), "up_conv": two_convs(deep, fine)}
            self[f"up{5 - step}"] = nn.ModuleDict(up)
        self["final_conv"] = nn.Conv2d(64, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self["start_conv"](x)
        skips = []
        for step in range(1, 5):
            skips.append(x)
            x = self[f"down{step}"]["down_conv"](F.max_pool2d(x, 2, ceil_mode=True))
        x = self["middle_conv"](x)
        for step in range(1, 5):
            part = self[f"up{step}"]
            x = part["up_conv"](torch.cat([skips.pop(), part["up"](x)], dim=1))
        return self["final_conv"](x)


@torch.no_grad()
def test_pytorch_segmentation(imported):
    torch.manual_seed(0)
    net = lively(PytorchSegmentationUNet(7))
    theirs = {"arch": "UNet", "state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}
    model = imported("pytorch-segmentation", theirs, "UNet", 7)
    close(model(IMAGE)["out"], net(IMAGE))


# ---------------------------------------------------------------- spoco


def lettered(before: int, after: int, order: str) -> nn.Sequential:
    """pytorch-3dunet's SingleConv: a layer a letter."""
    conv = nn.Sequential()
    for letter in order:
        width = before if order.index(letter) < order.index("c") else after
        bias = not set("bg") & set(order)
        name, layer = {
            "c": ("conv", nn.Conv2d(before, after, 3, padding=1, bias=bias)),
            "b": ("batchnorm", nn.BatchNorm2d(width)),
            "g": ("groupnorm", nn.GroupNorm(8 if width >= 8 else 1, width)),
            "r": ("ReLU", nn.ReLU()),
            "l": ("LeakyReLU", nn.LeakyReLU()),
            "e": ("ELU", nn.ELU()),
        }[letter]
        conv.add_module(name, layer)
    return conv


def level(before: int, inner: int, after: int, order: str) -> nn.ModuleDict:
    convs = nn.Sequential()
    convs.add_module("SingleConv1", lettered(before, inner, order))
    convs.add_module("SingleConv2", lettered(inner, after, order))
    return nn.ModuleDict({"basic_module": convs})


class SpocoUNet(nn.Module):
    """SPOCO's U-Net after the facts: pytorch-3dunet's names, skips first."""

    def __init__(self, channels: int, widths: list[int], order: str):
        super().__init__()
        ins, deep = [3, *widths[:-1]], widths[::-1]
        self.encoders = nn.ModuleList(
            level(before, max(width // 2, before), width, order)
            for before, width in zip(ins, widths, strict=True)
        )
        self.decoders = nn.ModuleList(
            level(below + width, width, width, order)
            for below, width in zip(deep[:-1], deep[1:], strict=True)
        )
        self.final_conv = nn.Conv2d(widths[0], channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for number, encoder in enumerate(self.encoders):
            x = encoder["basic_module"](F.max_pool2d(x, 2) if number else x)
            skips.append(x)
        skips.pop()
        for decoder in self.decoders:
            skip = skips.pop()
            x = torch.cat([skip, F.interpolate(x, size=skip.shape[-2:])], dim=1)
            x = decoder["basic_module"](x)
        return self.final_conv(x)


@pytest.mark.parametrize("order", ["bcr", "bcl", "gcr", "cr", "cbe"])
@torch.no_grad()
def test_spoco(order, imported, capsys):
    torch.manual_seed(0)
    widths = [8, 16, 32, 64]
    net = lively(SpocoUNet(16, widths, order))
    average = SpocoUNet(16, widths, order)
    both = nn.ModuleDict({"net": net, "average": average})
    theirs = {
        "epoch": 7,
        "model_state_dict": {f"module.{name}": value for name, value in both.state_dict().items()},
    }
    model = imported("spoco", theirs, "UNet2D", 16, feature_maps=widths, layer_order=order)
    close(model(IMAGE)["out"], net(IMAGE))
    said = capsys.readouterr().out
    assert f"{len(net.state_dict())} that nothing here needs left out, such as average.enc" in said


@pytest.mark.parametrize("names", [("net",), ("net", "average")])
@torch.no_grad()
def test_spoco_for_a_mean_teacher(names, command, capsys):
    """Of two networks the first is the student; a single one is both."""
    torch.manual_seed(0)
    widths = [8, 16, 32]
    nets = {name: lively(SpocoUNet(16, widths, "bcr")) for name in names}
    section = {"type": "UNet2D", "args": {"feature_maps": widths}}
    arch = {"type": "MeanTeacher", "args": {"model": section}}
    code, path = command("spoco", nn.ModuleDict(nets).state_dict(), arch)
    said = capsys.readouterr().out
    assert code == 0 and "left out" not in said
    assert ("its second the teacher" if len(nets) == 2 else "into student and teacher") in said
    identity = {"arch": arch, "out_channels": 16, "classes": ["?"]}
    model = rebuild(identity)
    report = start_from(model, path, identity)
    assert not report.skipped and not report.adapted
    outputs = model.eval()(IMAGE)
    close(outputs["out"], nets[names[0]](IMAGE))
    close(outputs["teacher"], nets[names[-1]](IMAGE))


# ---------------------------------------------------------------- what cannot be taken


RESNET18 = {"type": "FPN", "args": {"backbone": "resnet18"}}


@pytest.mark.parametrize(
    ("source", "names", "arch", "says"),
    [
        (
            "smp",
            {},
            {"type": "DeepLabV3Plus"},
            "the config's network is DeepLabV3Plus; of smp can be taken",
        ),
        ("smp", {"final.bias": 2}, RESNET18, "has no tensor segmentation_head.0.bias"),
        ("smp", {"segmentation_head.0.bias": 2}, RESNET18, '"align_corners" to true'),
        ("torchvision", {"backbone.conv1.weight": 1}, RESNET18, "a segmentation model"),
        (
            "torchvision",
            {"conv1.weight": 64},
            {"type": "ENet"},
            "ENet as the config has it has no e",
        ),
        ("torchvision", {"conv1.weight": 64, "fc.weight": 9}, RESNET18, "tensors match; "),
        ("pytorch-segmentation", {"final_conv.bias": 2}, {"type": "UNet"}, "UNet without a back"),
        ("spoco", {}, {"type": "UNet2D"}, "has no tensor final_conv.bias"),
    ],
)
def test_what_cannot_be_taken(source, names, arch, says, command, capsys):
    code, path = command(source, {name: torch.zeros(n) for name, n in names.items()}, arch)
    message = capsys.readouterr().err
    assert code == 2 and says in message and message.startswith("error: ")
    assert not path.exists()


def test_larger_network_is_not_taken_for_a_smaller(command, capsys):
    """Every tensor of ResNet-18 has a namesake of its size in ResNet-34."""
    code, path = command("torchvision", torchvision.models.resnet34().state_dict(), RESNET18)
    assert code == 2 and not path.exists()
    assert "not in this model (encoder.layer1.2.conv1.weight, " in capsys.readouterr().err


def test_left_out_are_the_names_of_the_file(command, capsys):
    code, _ = command("torchvision", torchvision.models.resnet18().state_dict(), RESNET18)
    assert code == 0 and "left out, such as fc.weight\n" in capsys.readouterr().out


def test_output_folder_that_is_missing(tmp_path, capsys):
    argv = ["--source", "smp", "--weights", "a.pth", "--config", "b.json"]
    argv += ["--output", str(tmp_path / "gone/ours.pth")]
    assert run(lambda: import_weights.main(import_weights.parse(argv))) == 2
    message = capsys.readouterr().err
    assert "gone/ours.pth: its folder is missing" in message and "trainer" not in message


def test_a_file_that_needs_code_is_refused_in_our_words(tmp_path, command, capsys):
    """An object that torch's safe reader knows but may not make: no advice to read it unsafely."""
    assert command("smp", {}, RESNET18)[0] == 2  # writes the config
    capsys.readouterr()
    (tmp_path / "odd.pth").write_bytes(pickle.dumps({"a": bytearray(b"x")}, protocol=5))
    argv = ["--source", "smp", "--weights", str(tmp_path / "odd.pth")]
    argv += ["--config", str(tmp_path / "config.json"), "--output", str(tmp_path / "ours.pth")]
    assert run(lambda: import_weights.main(import_weights.parse(argv))) == 2
    message = capsys.readouterr().err
    assert "is no checkpoint: it is not a file of tensors" in message
    assert "weights_only" not in message and "torch.load" not in message
