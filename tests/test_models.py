"""What every model promises, over the registry; sizes and features of single ones."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision

from models import MODELS
from models.encoders import ENCODERS, make_encoder
from models.encoders.resnet import ResNetEncoder
from utils.errors import UserError

SIZES = [(64, 64), (65, 97), (90, 71)]


def build(name: str, channels=3, **args):
    torch.manual_seed(0)
    return MODELS.build({"type": name, "args": args}, out_channels=channels)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_output_has_the_images_size(name, size):
    model = build(name).eval()
    with torch.no_grad():
        outputs = model(torch.rand(1, 3, *size))
    assert outputs["out"].shape == (1, 3, *size)


@pytest.mark.parametrize("name", MODELS)
def test_backward_reaches_every_parameter(name):
    model = build(name).train()
    sum(out.square().mean() for out in model(torch.rand(2, 3, 64, 64)).values()).backward()
    still = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


@pytest.mark.parametrize("name", MODELS)
def test_named_heads(name):
    outputs = build(name, {"semantic": 2, "embedding": 8})(torch.rand(2, 3, 64, 64))
    assert outputs["semantic"].shape[1] == 2 and outputs["embedding"].shape[1] == 8
    assert "out" not in outputs


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_in_one_group_each(name):
    model = build(name)
    grouped = [id(p) for group in model.parameter_groups().values() for p in group]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_state_round_trips(name):
    model, other = build(name).eval(), build(name).eval()
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    other.load_state_dict(model.state_dict())
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(image)["out"], other(image)["out"])


@pytest.mark.parametrize("name", MODELS)
def test_other_input_channels(name):
    assert build(name, in_channels=5)(torch.rand(2, 5, 64, 64))["out"].shape == (2, 3, 64, 64)


@pytest.mark.parametrize("name", MODELS)
def test_frozen_norms_stay(name):
    model = build(name, freeze_bn=True).train()
    before = copy.deepcopy(model.state_dict())
    model(torch.rand(2, 3, 64, 64))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_frozen_backbone_leaves_its_group_empty():
    model = build("UNet", backbone="resnet18", freeze_backbone=True).train()
    assert model.parameter_groups()["encoder"] == []
    assert not model.encoder.training and model.decoder.training


def test_enet_has_the_published_size():
    """350,652 at 12 classes: see the layer table in models/enet.py."""
    assert sum(p.numel() for p in build("ENet", 12).parameters()) == 350_652


def test_unet_resnet18_size():
    """Encoder 11,176,512 (torchvision's 11,689,512 less the 513,000 of its classifier), decoder
    steps 9 * (in + skip + out) * out + 4 * out, head 9 * 32 * 4 + 4."""
    widths, ins, skips = (256, 128, 64, 32), (512, 256, 128, 64), (256, 128, 64, 64)
    decoder = sum(9 * (i + s + w) * w + 4 * w for i, s, w in zip(ins, skips, widths, strict=True))
    model = build("UNet", 4, backbone="resnet18", decoder_channels=list(widths))
    assert sum(p.numel() for p in model.parameters()) == 11_176_512 + decoder + 9 * 32 * 4 + 4


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_encoders_keep_their_word(name, output_stride):
    with torch.device("meta"):
        encoder = make_encoder(name, output_stride=output_stride)
        features = encoder(torch.empty(1, 3, 96, 64))
    assert encoder.strides[-1] == output_stride
    for feature, channels, stride in zip(features, encoder.channels, encoder.strides, strict=True):
        assert feature.shape == (1, channels, 96 // stride, 64 // stride)


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated_features_equal_torchvisions(output_stride):
    torch.manual_seed(0)
    dilate = [False, output_stride == 8, True]
    theirs = torchvision.models.resnet50(replace_stride_with_dilation=dilate).eval()
    ours = ResNetEncoder("resnet50", output_stride=output_stride).eval()
    names = {"stem.0": "conv1", "stem.1": "bn1"} | {
        f"stages.{i}": f"layer{i + 1}" for i in range(4)
    }
    state = theirs.state_dict()
    ours.load_state_dict(
        {
            key: state[next(t + key[len(o) :] for o, t in names.items() if key.startswith(o + "."))]
            for key in ours.state_dict()
        }
    )
    image = torch.rand(1, 3, 64, 80)
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        for layer, feature in zip(
            (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4),
            ours(image)[1:],
            strict=True,
        ):
            x = layer(x)
            torch.testing.assert_close(feature, x, rtol=1e-5, atol=1e-5)


def test_weights_from_a_file_and_other_channels(tmp_path):
    torch.manual_seed(0)
    net = torchvision.models.resnet18()
    path = tmp_path / "resnet18.pth"
    torch.save(net.state_dict(), path)
    encoder = make_encoder("resnet18", pretrained=str(path)).eval()
    assert torch.equal(encoder.stem[0].weight, net.conv1.weight)
    image = torch.rand(1, 1, 64, 64)
    for channels in (1, 2, 4, 6):
        other = make_encoder("resnet18", in_channels=channels, pretrained=str(path)).eval()
        with torch.no_grad():
            torch.testing.assert_close(
                other(image.expand(1, channels, 64, 64))[0],
                encoder(image.expand(1, 3, 64, 64))[0],
                rtol=1e-4,
                atol=1e-5,
            )


@pytest.mark.parametrize(
    "args, message",
    [
        ({"backbone": "resnet19"}, "unknown backbone 'resnet19'; did you mean 'resnet18'"),
        ({"output_stride": 4}, "output stride 8, 16 or 32, not 4"),
        ({"decoder_channels": [1, 2]}, "decoder_channels has 2 widths"),
    ],
)
def test_impossible_unets(args, message):
    with pytest.raises(UserError) as error:
        build("UNet", **args)
    assert message in str(error.value)
