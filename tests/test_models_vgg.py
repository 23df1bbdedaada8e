"""SegNet, SegResNet and FCN: sizes, parameters by hand, and where values go."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from models.encoders.torchvision_nets import RESNETS, VGGS
from models.fcn import FCN, copy_classifier
from models.segnet import SegNet
from models.segresnet import SegResNet, unpool

# VGG's configuration D (arXiv:1409.1556, Table 1): the 3x3 convolutions between pools, (in, out)
VGG16 = [
    [(3, 64), (64, 64)],
    [(64, 128), (128, 128)],
    [(128, 256), (256, 256), (256, 256)],
    [(256, 512), (512, 512), (512, 512)],
    [(512, 512), (512, 512), (512, 512)],
]
CONVS = [conv for stage in VGG16 for conv in stage]
LEVELS = {32: 4096, 16: 512, 8: 256}  # channels of fc7, pool4 and pool3, by their stride


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def conv_norm(size: int, before: int, after: int) -> int:
    """Parameters of a convolution without bias, `size` taps a kernel, and of its batch norm."""
    return size * before * after + 2 * after


@pytest.fixture(scope="module")
def fcn() -> FCN:
    torch.manual_seed(0)
    return FCN(3).eval()


def test_segnet_size():
    """Encoder: weights, biases and norms. Decoder: each convolution but the first, reversed."""
    encoder = sum(9 * i * o + o + 2 * o for i, o in CONVS)
    assert encoder == 14_723_136  # torchvision's 138,365,992 less 123,642,856 in the classifier
    decoder = sum(conv_norm(9, o, i) for i, o in CONVS[1:])
    head = 9 * 64 * 21 + 21
    assert encoder + decoder + head == 29_451_413
    with torch.device("meta"):
        assert count(SegNet(21)) == 29_451_413


@pytest.mark.parametrize(
    "stride, expected", [(32, 134_346_581), (16, 134_357_354), (8, 134_362_751)]
)
def test_fcn_size(stride, expected):
    """VGG16's features and its classifier's first two layers, and 21 scores of each level."""
    features = sum(9 * i * o + o for i, o in CONVS)
    assert features == 14_714_688  # torchvision's 138,357,544 less 123,642,856
    fc6, fc7 = (7 * 7 * 512 + 1) * 4096, (4096 + 1) * 4096
    scores = sum((channels + 1) * 21 for level, channels in LEVELS.items() if level >= stride)
    assert features + fc6 + fc7 + scores == expected
    with torch.device("meta"):
        assert count(FCN(21, stride=stride)) == expected


def test_segresnet_size():
    """Encoder 23,508,032 (torchvision's 25,557,032 less the 2,049,000 of its classifier).

    A layer of n blocks, C wide, gives n - 1 bottlenecks C -> C/4 -> C/4 -> C, one bottleneck
    C -> C/4 -> C/4 -> the layer before with a 2x2 kernel (in layer1 3x3) and a shortcut, 2x2 (in
    layer1 1x1). Then a 3x3, a 2x2 and the head's 3x3 on 64 channels.
    """
    decoder = 0
    for blocks, width, before, kernel, shortcut in (
        (3, 2048, 1024, 4, 4),
        (6, 1024, 512, 4, 4),
        (4, 512, 256, 4, 4),
        (3, 256, 64, 9, 1),
    ):
        inner = width // 4
        reduce = conv_norm(1, width, inner)
        same = reduce + conv_norm(9, inner, inner) + conv_norm(1, inner, width)
        decoder += (blocks - 1) * same
        decoder += reduce + conv_norm(kernel, inner, inner) + conv_norm(1, inner, before)
        decoder += conv_norm(shortcut, width, before)
    tail = conv_norm(9, 64, 64) + conv_norm(4, 64, 64) + 9 * 64 * 21 + 21
    assert 23_508_032 + decoder + tail == 53_601_429
    with torch.device("meta"):
        assert count(SegResNet(21)) == 53_601_429


@pytest.mark.parametrize("model", [SegNet, SegResNet])
def test_odd_sizes(model):
    with torch.no_grad():
        assert model(3).eval()(torch.rand(1, 3, 225, 371))["out"].shape == (1, 3, 225, 371)


def test_odd_sizes_of_fcn(fcn):
    with torch.no_grad():
        assert fcn(torch.rand(1, 3, 225, 371))["out"].shape == (1, 3, 225, 371)


@pytest.mark.parametrize("backbone", RESNETS)
def test_segresnet_mirrors_every_resnet(backbone):
    with torch.device("meta"):
        outputs = SegResNet(3, backbone)(torch.empty(1, 3, 65, 97))
    assert outputs["out"].shape == (1, 3, 65, 97)


@pytest.mark.parametrize("model", [SegNet, FCN])
@pytest.mark.parametrize("backbone", VGGS)
def test_every_vgg(model, backbone):
    with torch.device("meta"):
        assert model(3, backbone)(torch.empty(1, 3, 65, 97))["out"].shape == (1, 3, 65, 97)


@pytest.mark.parametrize("model", [SegNet, SegResNet, FCN])
def test_named_heads(model):
    with torch.device("meta"):
        outputs = model({"semantic": 2, "embedding": 8}, in_channels=5)(torch.empty(2, 5, 65, 97))
    shapes = {name: tuple(out.shape) for name, out in outputs.items()}
    assert shapes == {"semantic": (2, 2, 65, 97), "embedding": (2, 8, 65, 97)}


class Keep(nn.Module):
    """A head that gives the features as they are."""

    def forward(self, features: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        assert features.shape[-2:] == size
        return {"out": features}


def test_segnet_returns_a_value_to_its_place():
    """Without its convolutions SegNet keeps the largest pixel of each 32x32 and drops the rest."""
    model = SegNet(3)
    model.encoder.stages = nn.ModuleList(
        [nn.Sequential(nn.Identity()), *(nn.Sequential(nn.MaxPool2d(2)) for _ in range(5))]
    )
    model.decoder = nn.ModuleList(nn.Identity() for _ in range(5))
    model.head = Keep()
    image = torch.rand(1, 3, 70, 101) + 0.1
    out = model(image)["out"]
    whole = image[..., :64, :96]  # pooling drops what fills no cell
    largest = F.interpolate(F.max_pool2d(whole, 32), scale_factor=32.0)
    assert torch.equal(out[..., :64, :96], whole * (whole == largest))
    assert out.count_nonzero() == 3 * 2 * 3


def test_segresnet_returns_a_value_to_its_place():
    """Each to a place of its own; windows that overlap, as the 3x3 pool's, would share some."""
    fine = torch.rand(1, 2, 7, 9) + 0.1
    x = torch.rand(1, 2, 4, 5) + 0.1
    out = unpool(x, fine)
    assert out.shape == fine.shape and out.count_nonzero() == x.numel()
    for row in range(4):
        for column in range(5):
            cell = slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2)
            for channel in range(2):
                before, after = fine[0, channel][cell], out[0, channel][cell]
                assert after.flatten()[before.argmax()] == x[0, channel, row, column]


def test_fcn_strides():
    """Finer FCNs add a layer of scores each, and nothing else; all have a deepest stride of 32."""
    with torch.device("meta"):
        fcns = {stride: FCN(21, stride=stride) for stride in (32, 16, 8)}
    keys = {stride: set(model.state_dict()) for stride, model in fcns.items()}
    assert keys[16] - keys[32] == {"skips.0.weight", "skips.0.bias"}
    assert keys[8] - keys[16] == {"skips.1.weight", "skips.1.bias"}
    assert all(model.stride == 32 for model in fcns.values())


def test_fcn_adds_scaled_scores_as_the_authors_do(fcn):
    """Against their fixed bilinear kernels, away from the border where those fade to zero."""

    def deconv(x: Tensor, factor: int) -> Tensor:
        ramp = 1 - (torch.arange(2 * factor) - (factor - 0.5)).abs() / factor
        kernel = torch.outer(ramp, ramp).expand(x.shape[1], 1, -1, -1)
        return F.conv_transpose2d(x, kernel, None, factor, factor // 2, groups=x.shape[1])

    image = torch.rand(1, 3, 256, 320)
    with torch.no_grad():
        _, _, conv3, conv4, _, pool5 = fcn.encoder(image)
        fc7 = fcn.score(fcn.classifier(pool5))
        pool4 = fcn.skips[0](0.01 * F.max_pool2d(conv4, 2))
        pool3 = fcn.skips[1](0.0001 * F.max_pool2d(conv3, 2))
        fine = deconv(deconv(deconv(fc7, 2) + pool4, 2) + pool3, 8)
        inner = (..., slice(48, -48), slice(48, -48))
        torch.testing.assert_close(fcn(image)["out"][inner], fine[inner], rtol=1e-4, atol=1e-5)
        skips, fcn.skips = fcn.skips, nn.ModuleList()
        coarse = fcn(image)["out"]
        fcn.skips = skips
        torch.testing.assert_close(coarse[inner], deconv(fc7, 32)[inner], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(coarse[inner], fine[inner], atol=1e-3)


def test_a_classifier_becomes_convolutions():
    """At the centre of a 7x7 map they give what VGG's linear layers give."""
    linear = nn.Sequential(nn.Linear(2 * 49, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 4))
    convs = nn.Sequential(
        nn.Conv2d(2, 5, 7, padding=3), nn.ReLU(), nn.Dropout(), nn.Conv2d(5, 4, 1)
    )
    copy_classifier(convs, nn.ModuleDict({"classifier": linear}).state_dict())
    x = torch.rand(2, 2, 7, 7)
    torch.testing.assert_close(convs.eval()(x)[..., 3, 3], linear.eval()(x.flatten(1)))


def test_weights_without_a_classifier_leave_the_convolutions_as_they_are():
    convs = nn.Sequential(nn.Conv2d(2, 5, 7), nn.ReLU(), nn.Dropout(), nn.Conv2d(5, 4, 1))
    before = convs[0].weight.detach().clone()
    copy_classifier(convs, {"features.0.weight": torch.zeros(1)})
    copy_classifier(
        convs, nn.ModuleDict({"classifier": nn.Sequential(nn.Linear(9, 5))}).state_dict()
    )
    assert torch.equal(convs[0].weight, before)


@pytest.mark.slow
def test_fcn_reads_a_whole_vgg_from_a_file(tmp_path):
    torch.manual_seed(0)
    net = torchvision.models.vgg16().eval()
    torch.save(net.state_dict(), tmp_path / "vgg16.pth")
    model = FCN(3, pretrained=str(tmp_path / "vgg16.pth")).eval()
    image = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        theirs = net.classifier[:6](net.features(image).flatten(1))
        ours = model.classifier(model.encoder(image)[-1])
    torch.testing.assert_close(ours[..., 3, 3], theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "model, args, message",
    [
        (
            SegNet,
            {"backbone": "resnet50"},
            "SegNet unpools by VGG's indices: backbone is one of vg",
        ),
        (SegNet, {"backbone": "resnet50"}, "vgg19_bn, not 'resnet50'"),
        (SegResNet, {"backbone": "vgg16"}, "SegResNet mirrors a ResNet: backbone is one of resnet"),
        (FCN, {"backbone": "resnet50"}, "FCN turns VGG's classifier into convolutions"),
        (FCN, {"stride": 4}, "FCN gives scores of stride 8, 16 or 32, not 4"),
    ],
)
def test_impossible_models(model, args, message):
    with pytest.raises(ValueError) as error:
        model(3, **args)
    assert message in str(error.value)
