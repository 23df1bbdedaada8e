"""What every model promises, over the registry; what every encoder promises; UNet and ENet."""

from __future__ import annotations

import copy
import inspect
import shutil

import pytest
import torch
import torchvision
from torch import nn

from models import MODELS
from models.blocks.context import ASPP
from models.encoders import ALIASES, ENCODERS, make_encoder
from utils.errors import UserError
from utils.optimizers import make_optimizer
from utils.outputs import beside
from utils.registry import parameters

SIZES = [(64, 64), (65, 97), (90, 71)]
SMALL = {"SegNet": "vgg13_bn", "FCN": "vgg13_bn"}  # the others run on a ResNet-18
TRACED = (96, 128)
CLASSIC = {"backbone": None, "decoder_channels": [32, 16, 16, 8]}
VARIANTS = [
    *((name, {}) for name in MODELS),
    ("UNet", CLASSIC),
    ("UNet", {"wide_decoder": True, "residual_blocks": True}),
    ("GCN", {"backbone": "resnet50", "resnet_gcn": True, "deconv": True, "kernel_size": 3}),
    ("DUCHDC", {"output_stride": 4}),
]
NAMED = [" ".join([name, *args]) for name, args in VARIANTS]


def build(name: str, channels=3, **args):
    """The model on a small backbone, where it takes one, unless the test names another.

    A model around another is given a UNet, and the arguments go to that one.
    """
    torch.manual_seed(0)
    if "model" in inspect.signature(MODELS[name]).parameters:
        args = {"model": {"type": "UNet", "args": {"backbone": "resnet18", **args}}}
    if "backbone" in inspect.signature(MODELS[name]).parameters:
        args = {"backbone": SMALL.get(name, "resnet18"), **args}
    return MODELS.build({"type": name, "args": args}, out_channels=channels)


def random_image(size=(64, 64), batch=2, channels=3):
    return torch.rand(batch, channels, *size, generator=torch.Generator().manual_seed(1))


def expected_names(name: str, *outputs: str) -> set[str]:
    """Names of a model's outputs in evaluation."""
    teacher = {beside("teacher", output) for output in outputs if name == "MeanTeacher"}
    return {*outputs} | teacher


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_output_has_the_images_size(name, size):
    model = build(name).eval()
    with torch.no_grad():
        outputs = model(random_image(size, 1))
    assert set(outputs) == expected_names(name, "out")
    assert all(out.shape == (1, 3, *size) for out in outputs.values())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(225, 371), (375, 1242)], ids=str)
def test_odd_sizes_as_it_is_by_default(name, size):
    with torch.device("meta"):
        model = MODELS.build(name, out_channels=3).eval()
        assert model(torch.empty(1, 3, *size))["out"].shape == (1, 3, *size)


@pytest.mark.parametrize(("name", "args"), VARIANTS, ids=NAMED)
def test_backward_reaches_every_parameter(name, args):
    model = build(name, **args).train()
    sum(out.square().mean() for out in model(random_image()).values()).backward()
    trained = {key: p for key, p in model.named_parameters() if p.requires_grad}
    assert trained and not [k for k, p in trained.items() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize("name", MODELS)
def test_named_heads(name):
    outputs = build(name, {"semantic": 2, "embedding": 8})(random_image())
    assert outputs["semantic"].shape[1] == 2 and outputs["embedding"].shape[1] == 8
    assert set(outputs) == expected_names(name, "semantic", "embedding")


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_in_one_group_each(name):
    """With the default backbone; a module shared by accident would come twice or not at all."""
    with torch.device("meta"):
        model = MODELS.build(name, out_channels=3)
    grouped = [id(p) for group in model.parameter_groups().values() for p in group]
    named = [id(p) for _, p in model.named_parameters(remove_duplicate=False) if p.requires_grad]
    assert sorted(grouped) == sorted(named)


@pytest.mark.parametrize("name", MODELS)
def test_state_round_trips(name):
    model, other = build(name).train(), build(name).eval()
    with torch.no_grad():
        model(random_image())  # moves the running statistics
        for parameter in model.parameters():
            parameter.mul_(1.1)
        expected = model.eval()(random_image())["out"]
        assert not torch.allclose(other(random_image())["out"], expected)
        other.load_state_dict(model.state_dict())
        assert torch.equal(other(random_image())["out"], expected)


@pytest.mark.parametrize("name", MODELS)
def test_other_input_channels(name):
    model = build(name, in_channels=5)
    assert model.in_channels == 5
    assert model(random_image(channels=5))["out"].shape == (2, 3, 64, 64)


@pytest.mark.parametrize("name", MODELS)
def test_frozen_norms_stay(name):
    model = build(name, freeze_bn=True).train()
    before = copy.deepcopy(model.state_dict())
    model(random_image())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", MODELS)
def test_frozen_norms_stay_frozen_as_sync_batch_norm(name):
    model = nn.SyncBatchNorm.convert_sync_batchnorm(build(name, freeze_bn=True)).train()
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
    assert norms and not any(m.training or m.weight.requires_grad for m in norms)
    wrapped = nn.DataParallel(model).train()
    assert not any(m.training for m in wrapped.modules() if m in norms)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "args"), VARIANTS, ids=NAMED)
def test_traces_under_compile(name, args):
    model = build(name, **args).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(
            compiled(random_image(TRACED))["out"], model(random_image(TRACED))["out"]
        )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "args"), VARIANTS, ids=NAMED)
def test_exports(name, args):
    model = build(name, **args).eval()
    program = torch.export.export(model, (random_image(TRACED),)).module()
    with torch.no_grad():
        torch.testing.assert_close(
            program(random_image(TRACED))["out"], model(random_image(TRACED))["out"]
        )


@pytest.mark.parametrize("name", [n for n in MODELS if "freeze_backbone" in parameters(MODELS[n])])
def test_frozen_backbone_leaves_its_group_empty(name):
    with torch.device("meta"):
        model = build(name, freeze_backbone=True).train()
        free = build(name).train()
    assert model.parameter_groups()["encoder"] == [] != free.parameter_groups()["encoder"]
    assert len(model.parameter_groups()["decoder"]) == len(free.parameter_groups()["decoder"]) > 0
    assert not any(part.training for part in model.encoder.modules()) and model.training


def size_of(name: str, channels=3, **args) -> int:
    """Parameters, each counted once; the default backbone where the test names none."""
    with torch.device("meta"):
        model = MODELS.build({"type": name, "args": args}, out_channels=channels)
    return sum(p.numel() for p in model.parameters())


def test_enet_has_the_published_size():
    """Table 1 of the paper. A convolution of k weights a pair of channels with its norm and one
    slope: k in out + 2 out + 1; a slope after each sum; the decoder, with ReLU, has no slopes."""

    def conv(before, after, k, slope=1):
        return k * before * after + 2 * after + slope

    def bottleneck(width, kernel, slope=1):
        inner = width // 4
        middle = {"3x3": conv(inner, inner, 9, slope), "5x1": 2 * conv(inner, inner, 5, slope)}
        outer = conv(width, inner, 1, slope) + conv(inner, width, 1, slope)
        return outer + middle[kernel] + slope

    def down(before, after):
        inner = before // 4
        return conv(before, inner, 4) + conv(inner, inner, 9) + conv(inner, after, 1) + 1

    def up(before, after):
        inner = before // 4
        branch = conv(before, inner, 1, 0) + conv(inner, inner, 4, 0) + conv(inner, after, 1, 0)
        return branch + before * after + 2 * after

    initial = 9 * 3 * 13 + 2 * 16 + 1
    stage1 = down(16, 64) + 4 * bottleneck(64, "3x3")
    context = 6 * bottleneck(128, "3x3") + 2 * bottleneck(128, "5x1")
    stage4 = up(128, 64) + 2 * bottleneck(64, "3x3", 0)
    stage5 = up(64, 16) + bottleneck(16, "3x3", 0)
    total = initial + stage1 + down(64, 128) + 2 * context + stage4 + stage5 + 9 * 16 * 12
    assert size_of("ENet", 12) == total == 350_652


def test_enet_of_the_tusimple_project():
    """One slope a channel, the first norm over the convolution's 13 channels alone, a 2x2 head."""
    model = build("ENet", prelu="channel", norm_pool=False, head_kernel=2).eval()
    slopes = [m.num_parameters for m in model.modules() if isinstance(m, nn.PReLU)]
    assert slopes[0] == 13 and min(slopes) > 1
    assert model.initial.norm_act[0].num_features == 13
    assert model(random_image((65, 97)))["out"].shape == (2, 3, 65, 97)


def test_unet_resnet18_size():
    """Encoder 11,176,512 (torchvision's 11,689,512 less the 513,000 of its classifier), decoder
    steps 9 * (in + skip + out) * out + 4 * out, head 9 * 32 * 4 + 4."""
    widths, ins, skips = (256, 128, 64, 32), (512, 256, 128, 64), (256, 128, 64, 64)
    decoder = sum(9 * (i + s + w) * w + 4 * w for i, s, w in zip(ins, skips, widths, strict=True))
    size = size_of("UNet", 4, backbone="resnet18", decoder_channels=list(widths))
    assert size == 11_176_512 + decoder + 9 * 32 * 4 + 4


def test_classic_unet_has_pytorch_segmentations_size():
    """Down, per level of (in, inner, out): 9 * in * inner + 2 * inner + 9 * inner * out + 2 * out;
    up, per step: a 2x2 kernel with bias to half, and a level on twice that; 1x1 with bias."""

    def level(before, after):
        inner = after // 2
        return 9 * before * inner + 2 * inner + 9 * inner * after + 2 * after

    down = level(3, 64) + sum(level(w, 2 * w) for w in (64, 128, 256, 512)) + level(1024, 1024)
    up = sum(4 * w * w // 2 + w // 2 + level(w, w // 2) for w in (1024, 512, 256, 128))
    assert size_of("UNet", 21) == down + up + 64 * 21 + 21 == 26_356_469


RESNEXT50 = 22_979_904  # torchvision's 25,028,904 without the 2,049,000 of its classifier


def test_wide_unet_has_the_size_of_the_cityscapes_project():
    """Its README's 81,091,464 counts the encoder twice: 35,131,656 in the decoder and
    2 * 22,979,904; its 92,014,472 likewise. A residual block of width C has 18 C^2 + 8 C."""
    wide = {"backbone": "resnext50", "wide_decoder": True}
    assert size_of("UNet", 8, **wide) == 35_131_656 + RESNEXT50
    assert size_of("UNet", 8, **wide) + RESNEXT50 == 81_091_464
    blocks = sum(18 * c * c + 8 * c for c in (512, 512, 256, 128))
    residual = size_of("UNet", 8, **wide, residual_blocks=True)
    assert residual == 35_131_656 + RESNEXT50 + blocks
    assert residual + RESNEXT50 == 92_014_472


def test_fpn_has_the_published_size():
    """Laterals 3840 * 256 + 4 * 256; first convolutions of four levels 9 * 256 * 128 + 256, three
    more of 9 * 128 * 128 + 256; head 128 * 8 + 8."""
    laterals = (256 + 512 + 1024 + 2048) * 256 + 4 * 256
    levels = 4 * (9 * 256 * 128 + 256) + 3 * (9 * 128 * 128 + 256)
    assert size_of("FPN", 8, backbone="resnext50") == RESNEXT50 + laterals + levels + 1032
    assert RESNEXT50 + laterals + levels + 1032 == 25_588_808


def test_unet2d_has_spocos_size():
    """A convolution of (in, out) with its norm before it: 2 * in + 9 * in * out."""

    def conv(before, after):
        return 2 * before + 9 * before * after

    maps = (16, 32, 64, 128, 256, 512)
    down = conv(3, 8) + conv(8, 16)
    down += sum(conv(w, w) + conv(w, 2 * w) for w in maps[:-1])
    up = sum(conv(3 * w, w) + conv(w, w) for w in maps[:-1])
    assert size_of("UNet2D", 16) == down + up + 16 * 16 + 16 == 5_507_262
    assert size_of("UNet2D", 8) == 5_507_126


RESNET50 = 23_508_032  # torchvision's 25,557,032 without the 2,049,000 of its classifier


def conv_norm(before, after, kernel=3):
    return kernel * kernel * before * after + 2 * after


def separable(before, after):
    return 9 * before + before * after + 2 * after


def test_pspnet_size():
    """Four grids of 2048 -> 512, the join 4096 -> 512, head; aux 1024 -> 256 -> classes."""
    grids = 4 * conv_norm(2048, 512, 1) + conv_norm(4096, 512) + 512 * 21 + 21
    aux = conv_norm(1024, 256) + 256 * 21 + 21
    assert size_of("PSPNet", 21, use_aux=False) == RESNET50 + grids
    assert size_of("PSPNet", 21) == RESNET50 + grids + aux


def test_pspdensenet_size():
    """DenseNet-201's 20,013,928 less the 1,921,000 of its classifier; c5 is 1920 wide, c4 1792."""
    grids = 4 * conv_norm(1920, 480, 1) + conv_norm(3840, 480) + 480 * 21 + 21
    aux = conv_norm(1792, 448) + 448 * 21 + 21
    assert size_of("PSPDenseNet", 21) == 20_013_928 - 1_921_000 + grids + aux


def test_deeplabv3_plus_size():
    """ASPP: 1x1, three rates, the mean, the projection; 48 fine channels; two convolutions."""
    aspp = 2 * conv_norm(2048, 256, 1) + conv_norm(5 * 256, 256, 1)
    fine = conv_norm(256, 48, 1)
    for kernel, args in ((separable, {}), (conv_norm, {"separable": False})):
        decoder = kernel(256 + 48, 256) + kernel(256, 256) + 256 * 21 + 21
        total = RESNET50 + aspp + 3 * kernel(2048, 256) + fine + decoder
        assert size_of("DeepLabV3Plus", 21, **args) == total
        one = size_of("DeepLabV3Plus", 21, decoder_convs=1, **args)
        assert one == total - kernel(256, 256)


def test_upernet_size():
    """Pyramid pooling 2048 -> 256; laterals of 256, 512, 1024; three 3x3; the fusing 3x3; head."""
    pyramid = 4 * conv_norm(2048, 512, 1) + conv_norm(4096, 256)
    laterals = sum(conv_norm(w, 256, 1) for w in (256, 512, 1024))
    rest = 3 * conv_norm(256, 256) + conv_norm(1024, 256) + 256 * 21 + 21
    assert size_of("UPerNet", 21) == RESNET50 + pyramid + laterals + rest


def test_xception_size():
    """A separable convolution with two norms: 9 in + 2 in + in * out + 2 out."""

    def sep(before, after):
        return 11 * before + before * after + 2 * after

    def block(*widths):
        shortcut = widths[0] * widths[-1] + 2 * widths[-1] if widths[0] != widths[-1] else 0
        return shortcut + sum(map(sep, widths[:-1], widths[1:]))

    entry = conv_norm(3, 32) + conv_norm(32, 64) + block(64, 128, 128, 128)
    entry += block(128, 256, 256, 256) + block(256, 728, 728, 728)
    exit_flow = block(728, 728, 1024, 1024) + sep(1024, 1536) + sep(1536, 1536) + sep(1536, 2048)
    with torch.device("meta"):
        size = sum(p.numel() for p in make_encoder("xception").parameters())
    assert size == entry + 16 * block(728, 728, 728, 728) + exit_flow


def test_an_auxiliary_head_speaks_in_training_only():
    model = build("PSPNet")
    assert set(model.train()(random_image())) == {"out", "aux"}
    assert set(model.eval()(random_image())) == {"out"}
    assert set(build("PSPNet", use_aux=False).train()(random_image())) == {"out"}


ONE_A_FAMILY = (
    *("resnet18", "resnext50_32x4d", "vgg13", "vgg13_bn", "densenet121", "mobilenet_v2"),
    *("mobilenet_v3_small", "efficientnet_b0", "efficientnet_v2_s", "convnext_tiny", "xception"),
)


def slow_but_one_a_family(name: str):
    return name if name in ONE_A_FAMILY else pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [slow_but_one_a_family(name) for name in ENCODERS])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_encoders_keep_their_word(name, output_stride):
    with torch.device("meta"):
        if name.startswith("convnext") and output_stride < 32:
            with pytest.raises(ValueError, match="output stride 32 alone"):
                make_encoder(name, output_stride=output_stride)
            return
        encoder = make_encoder(name, output_stride=output_stride)
        features = encoder(torch.empty(1, 3, 96, 64))
    assert encoder.strides[-4:] == [min(s, output_stride) for s in (4, 8, 16, 32)]
    assert encoder.strides[:-4] in ([], [2], [1, 2])
    for feature, channels, stride in zip(features, encoder.channels, encoder.strides, strict=True):
        assert feature.shape == (1, channels, 96 // stride, 64 // stride)


def test_every_family_equals_torchvisions():
    """c5 is what the network computes before its pooling and classifier."""
    cuts = {
        "resnet18": lambda net, x: nn.Sequential(*list(net.children())[:-2])(x),
        "vgg13": lambda net, x: net.features(x),
        "mobilenet_v3_small": lambda net, x: net.features(x),
        "convnext_tiny": lambda net, x: net.features(x),
        "efficientnet_b0": lambda net, x: net.features[:-1](x),
        "mobilenet_v2": lambda net, x: net.features[:-1](x),
        "densenet121": lambda net, x: net.features(x).relu(),
    }
    for name, features in cuts.items():
        torch.manual_seed(0)
        theirs = torchvision.models.get_model(name, weights=None).eval()
        torch.manual_seed(0)
        ours = make_encoder(name).eval()
        with torch.no_grad():
            expected = features(theirs, random_image())
            torch.testing.assert_close(ours(random_image())[-1], expected, msg=name)


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated_features_equal_torchvisions(output_stride):
    dilate = [False, output_stride == 8, True]
    torch.manual_seed(0)
    theirs = torchvision.models.resnet50(replace_stride_with_dilation=dilate).eval()
    torch.manual_seed(0)
    ours = make_encoder("resnet50", output_stride=output_stride).eval()
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(random_image((64, 80))))))
        for layer, feature in zip(
            (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4),
            ours(random_image((64, 80)))[1:],
            strict=True,
        ):
            x = layer(x)
            torch.testing.assert_close(feature, x, rtol=1e-5, atol=1e-5)


def test_aspp_equals_torchvisions():
    """The same tensors in the same order; torchvision enlarges the image's mean bilinearly."""
    theirs = torchvision.models.segmentation.deeplabv3.ASPP(64, [12, 24, 36], 32).eval()
    ours = ASPP(64, [12, 24, 36], 32).eval()
    state = dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True))
    ours.load_state_dict(state)
    x = torch.randn(2, 64, 17, 23)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_names_of_other_projects_mean_the_same():
    for alias, name in ALIASES.items():
        with torch.device("meta"):
            assert make_encoder(alias).channels == make_encoder(name).channels


def takes_any_backbone(name: str) -> bool:
    parameter = inspect.signature(MODELS[name]).parameters.get("backbone")
    return parameter is not None and parameter.annotation.startswith("Backbone")


ON_ANY = [name for name in MODELS if takes_any_backbone(name)]


def test_some_models_take_any_backbone():
    assert {"UNet", "FPN", "DeepLabV3Plus", "PSPNet", "UPerNet", "GCN"} <= set(ON_ANY)


@pytest.mark.parametrize("alias", MODELS.aliases())
def test_names_of_pytorch_segmentation_build(alias):
    target, preset = MODELS.aliases()[alias]
    with torch.device("meta"):
        model = MODELS.build(alias, out_channels=3)
        same = MODELS.build({"type": target, "args": preset}, out_channels=3)
        assert model(torch.empty(2, 3, 65, 97))["out"].shape == (2, 3, 65, 97)
    assert [p.shape for p in model.parameters()] == [p.shape for p in same.parameters()]


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_in_one_group_of_the_optimizer(name):
    with torch.device("meta"):
        model = MODELS.build(name, out_channels=3)
    section = {"type": "SGD", "args": {"lr": 1.0}, "differential_lr": True}
    groups = make_optimizer({**section, "decay_norm_and_bias": False}, model).param_groups
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters() if p.requires_grad)


@pytest.mark.slow
def test_inductor_compiles():
    if shutil.which("g++") is None:
        pytest.skip("inductor needs a C++ compiler")
    model = build("UNet2D").eval()
    with torch.no_grad():
        compiled = torch.compile(model)(random_image())["out"]
        torch.testing.assert_close(compiled, model(random_image())["out"], rtol=1e-4, atol=1e-4)


def check_pair(name: str, backbone: str) -> None:
    """Model and encoder build, and give the image's size, without anything being computed."""
    stride = {"output_stride": 32} if backbone.startswith("convnext") else {}
    with torch.device("meta"):
        model = MODELS.build(
            {"type": name, "args": {"backbone": backbone, **stride}}, out_channels=3
        )
        outputs = model(torch.empty(2, 3, 65, 97))
    assert all(out.shape == (2, 3, 65, 97) for out in outputs.values())
    assert model.parameter_groups()["encoder"] and model.stride == model.encoder.strides[-1]


@pytest.mark.parametrize("backbone", ONE_A_FAMILY)
@pytest.mark.parametrize("name", ["FPN", "DeepLabV3Plus"])  # all maps; a dilated last stage
def test_decoders_on_every_family(name, backbone):
    check_pair(name, backbone)


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_ANY)
def test_every_decoder_on_every_encoder(name):
    for backbone in ENCODERS:
        check_pair(name, backbone)


def test_timm_networks_are_encoders():
    pytest.importorskip("timm")
    for name in ON_ANY:
        check_pair(name, "timm/resnet10t")
    with pytest.raises(UserError, match="the last four must be"):
        build("FPN", backbone="timm/vit_tiny_patch16_224")
    with pytest.raises(UserError, match="does not take images of any size"):
        build("FPN", backbone="timm/swin_tiny_patch4_window7_224")
    with pytest.raises(UserError, match="timm .* has no network 'resnet10x'"):
        build("FPN", backbone="timm/resnet10x")


def test_weights_of_a_timm_network(tmp_path):
    timm = pytest.importorskip("timm")
    net, file = timm.create_model("resnet10t"), tmp_path / "weights.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, file)
    encoder = make_encoder("timm/resnet10t", pretrained=str(file))
    assert torch.equal(encoder.net.conv1[0].weight, net.conv1[0].weight)
    for name, message in (
        ("timm/resnet18", "weights .* do not fit timm/resnet18: .* size mismatch for layer"),
        ("timm/resnet10x", "has no network 'resnet10x'"),
    ):
        with pytest.raises((UserError, ValueError), match=message):
            make_encoder(name, pretrained=str(file))
    file.write_text("text")
    with pytest.raises(UserError, match="no checkpoint that can be read"):
        make_encoder("timm/resnet10t", pretrained=str(file))


def test_xception_from_a_file_with_other_channels(tmp_path):
    torch.save(make_encoder("xception").state_dict(), tmp_path / "xception.pth")
    encoder = make_encoder("xception", in_channels=4, pretrained=str(tmp_path / "xception.pth"))
    assert encoder.eval()(random_image(channels=4))[0].shape == (2, 64, 32, 32)


@pytest.mark.parametrize("name", ["resnet18", "vgg13_bn", "densenet121", "mobilenet_v2"])
def test_weights_of_an_encoder_with_the_channels_of_the_image(name, tmp_path):
    """As it is where the channels are the model's, spread where they are not."""
    torch.manual_seed(0)
    there = make_encoder(name, in_channels=4).eval()
    torch.save(there.state_dict(), tmp_path / "encoder.pth")
    same = make_encoder(name, in_channels=4, pretrained=str(tmp_path / "encoder.pth"))
    assert all(
        torch.equal(a, b) for a, b in zip(same.parameters(), there.parameters(), strict=True)
    )
    less = make_encoder(name, in_channels=1, pretrained=str(tmp_path / "encoder.pth")).eval()
    image = random_image(channels=1)
    with torch.no_grad():
        expected = there(image.expand(-1, 4, -1, -1))[0]
        torch.testing.assert_close(less(image)[0], expected, rtol=1e-4, atol=1e-5)


def test_a_classifier_whose_first_convolution_reads_the_images_channels(tmp_path):
    net = torchvision.models.resnet18()
    net.conv1 = nn.Conv2d(4, 64, 7, stride=2, padding=3, bias=False)
    torch.save(net.state_dict(), tmp_path / "four.pth")
    encoder = make_encoder("resnet18", in_channels=4, pretrained=str(tmp_path / "four.pth"))
    assert torch.equal(next(encoder.parameters()), net.conv1.weight)
    with pytest.raises(UserError, match="do not fit resnet34: .* missing"):
        make_encoder("resnet34", pretrained=str(tmp_path / "four.pth"))
    torch.save(encoder.state_dict(), tmp_path / "ours.pth")
    with pytest.raises(UserError, match="ours.pth does not fit the model Encoder"):
        make_encoder("resnet34", pretrained=str(tmp_path / "ours.pth"))


def test_weights_from_a_file_and_other_channels(tmp_path):
    torch.manual_seed(0)
    net = torchvision.models.resnet18()
    path = tmp_path / "resnet18.pth"
    torch.save(net.state_dict(), path)
    encoder = make_encoder("resnet18", pretrained=str(path)).eval()
    assert torch.equal(next(encoder.parameters()), net.conv1.weight)
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
    "name, args, message",
    [
        ("UNet", {"backbone": "resnet19"}, "unknown backbone 'resnet19'; did you mean 'resnet18'"),
        ("UNet", {"output_stride": 4}, "output_stride is 4; known are 8, 16, 32"),
        ("PSPNet", {"output_stride": 4}, "output_stride is 4; known are 8, 16, 32"),
        ("UNet", {"decoder_channels": [1, 2]}, "decoder_channels has 2 widths; four end at half"),
        ("UNet", {"backbone": None, "decoder_channels": [1]}, "without a backbone UNet takes four"),
        ("UNet", {"decoder_channels": [8, 8, 8, 0]}, "widths are above zero"),
        ("UNet", {"backbone": None, "pretrained": True}, "pretrained needs an encoder; name one"),
        ("UNet", {"backbone": None, "residual_blocks": True}, "residual_blocks needs an encoder"),
        ("UNet", {"wide_decoder": True, "output_stride": 8}, "leave decoder_channels and"),
        ("UNet", {"residual_blocks": True}, "set wide_decoder to true"),
        ("UNet", {"in_channels": 0}, "an image has at least one channel"),
        ("UNet2D", {"layer_order": "bxr"}, "layer_order is 'bxr'; one c for the convolution"),
        ("UNet2D", {"feature_maps": [16]}, "give two widths or more"),
        ("UNet2D", {"layer_order": "gcr", "feature_maps": [12, 24]}, "do not divide into"),
        ("FPN", {"segmentation_channels": 100}, "group norm takes a multiple of 32"),
        ("FPN", {"backbone": "convnext_tiny", "output_stride": 16}, "output stride 32 alone"),
        ("DeepLabV3Plus", {"backbone": "xception", "pretrained": True}, "no pretrained weights"),
        ("PSPNet", {"pyramid_bins": []}, "pyramid_bins has 0 numbers; give one a grid"),
        ("UPerNet", {"pyramid_bins": []}, "pyramid_bins has 0 numbers; give one a grid"),
        ("UNet", {"decoder_channels": []}, "decoder_channels has 0 widths; four end at half"),
        ("UNet", {"backbone": None, "decoder_channels": []}, "decoder_channels has 0 widths; with"),
        ("DeepLabV3Plus", {"atrous_rates": []}, "atrous_rates is empty; give a dilation or more"),
        ("FPN", {"backbone": "resnot"}, "or 'resnet18'? (or timm/<name>)"),
        ("ENet", {"in_channels": 16}, "ENet's first block takes 1 to 15"),
    ],
)
def test_impossible_models(name, args, message):
    with pytest.raises(UserError) as error:
        build(name, **args)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["resnet18", "vgg13", "xception"])
def test_a_file_without_weights_is_refused(name, tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "none.pth")
    with pytest.raises(UserError, match='none.pth holds no weights; set "pretrained" to a file th'):
        make_encoder(name, pretrained=str(tmp_path / "none.pth"))


def test_a_vggs_last_stage_is_pooling_alone():
    """Left out where it would pass the output stride, as the encoder says."""
    for stride in (8, 16, 32):
        *_, c4, c5 = make_encoder("vgg13", output_stride=stride).eval()(random_image())
        assert torch.equal(c4, c5) == (stride < 32)


def test_unet2d_names_the_smallest_image():
    model = build("UNet2D", feature_maps=[4, 4, 4, 4, 4, 4, 4, 4]).eval()
    message = "feature_maps has 8 levels, for images from 128x128 pixels up; 96x128 came"
    with pytest.raises(UserError, match=message):
        model(torch.rand(1, 3, 128, 96))
    assert model(torch.rand(1, 3, 128, 128))["out"].shape[-2:] == (128, 128)


def test_enets_head_bias_is_added_to_the_scores():
    model = build("ENet", head_bias=True).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model(image)["out"]
        model.head["out"].bias.fill_(10.0)
        torch.testing.assert_close(model(image)["out"], before + 10)
    assert build("ENet").head["out"].bias is None


@pytest.mark.parametrize(("alias", "stride"), [("UperNet", 16), ("UNetResnet", 8)])
def test_aliases_have_the_output_stride_of_pytorch_segmentation(alias, stride):
    with torch.device("meta"):
        model = MODELS.build(alias, out_channels=2).eval()
        assert model.stride == stride
        assert model(torch.empty(1, 3, 65, 97))["out"].shape == (1, 2, 65, 97)
