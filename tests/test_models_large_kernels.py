"""GCN and DUC-HDC: kernels, dilations, sub-pixels and sizes, against arithmetic and torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.duc_hdc import DUC, DUCHDC
from models.gcn import GCN, BoundaryRefinement, GlobalConv, bilinear_deconv

SIZES = [(225, 371), (65, 97)]
RESNET50 = 25_557_032 - 2_049_000  # torchvision's, less the classifier 2048 * 1000 + 1000
RESNET101 = 44_549_160 - 2_049_000


def meta(model: type, *args, **options) -> nn.Module:
    """A model without memory: its parts can be counted, not run."""
    with torch.device("meta"):
        return model(*args, **options)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def run(model: nn.Module, size: tuple[int, int]) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return model.eval()(torch.rand(1, 3, *size))


def test_gcn_size():
    """A level of `i` channels: two pairs of 11-tap lines, i to 21 and 21 to 21 channels, and a
    refinement of two 3x3 kernels; five more refinements follow, each after its enlarging."""
    refinement = 2 * (9 * 21 * 21 + 21)
    lines = [2 * (11 * i * 21 + 21) + 2 * (11 * 21 * 21 + 21) for i in (256, 512, 1024, 2048)]
    model = meta(GCN, 21)
    assert count(model.encoder) == RESNET50
    assert count(model) == RESNET50 + sum(lines) + 9 * refinement == 25_393_076
    assert count(meta(GCN, 21, deconv=True)) == count(model) + 5 * 9 * 21 * 21
    assert count(meta(GCN, 21, deconv=True, output_stride=8)) == count(model) + 3 * 9 * 21 * 21


def test_resnet_gcn_size():
    """A bottleneck's first two layers, i to w and w to w channels with a batch norm each, become
    four lines of k taps with a batch norm each; the last layer reads fewer channels."""
    ins = [(512, 1024, 85, 5)] + 5 * [(1024, 1024, 85, 5)]
    ins += [(1024, 2048, 128, 7)] + 2 * [(2048, 2048, 128, 7)]
    change = 0
    for i, o, w, k in ins:
        change += 2 * k * (i * w + w * w) + 4 * 2 * w + w * o
        before = o // 4
        change -= i * before + 9 * before * before + 4 * before + before * o
    model = meta(GCN, 21, resnet_gcn=True)
    assert count(model.encoder) == RESNET50 + change == 20_496_780


def test_duc_hdc_size():
    """Convolutions without bias and batch norms of two numbers a channel, but for the scores:
    ASPP of two 1x1 and five 3x3 branches, joined from 7 * 256; DUC x2 from 256 to 4 * 256; c2 to
    48; 304 to 256 to 256; DUC x4 from 256 to 16 * 21 with bias."""
    model = meta(DUCHDC, 21)
    assert count(model.encoder) == RESNET101
    branches = 2 * 2048 * 256 + 5 * 9 * 2048 * 256
    assert count(model.aspp) == branches + 7 * 256 * 256 + 8 * 2 * 256
    assert count(model.enlarge) == 256 * 1024 + 2 * 1024
    assert count(model.reduce) == 256 * 48 + 2 * 48
    assert count(model.fuse) == 9 * 304 * 256 + 9 * 256 * 256 + 2 * 2 * 256
    assert count(model.score) == 256 * 16 * 21 + 16 * 21


@pytest.mark.parametrize(
    "backbone, bigger, layer3, layer4",
    [
        ("resnet18", False, [2, 2], [3, 4]),
        ("resnet50", False, [1, 2, 3] * 2, [3, 4, 5]),
        ("resnet101", False, [1, 2, 3] * 7 + [2, 2], [3, 4, 5]),
        ("resnet152", False, [1, 2, 3] * 12, [3, 4, 5]),
        ("resnet18", True, [1, 2], [5, 9]),
        ("resnet50", True, [1, 2, 5, 9, 1, 2], [5, 9, 17]),
        ("resnet101", True, [1, 2, 5, 9] * 5 + [1, 2, 5], [5, 9, 17]),
        ("resnet152", True, [1, 2, 5, 9] * 9, [5, 9, 17]),
    ],
)
def test_hybrid_dilations(backbone, bigger, layer3, layer4):
    stages = meta(DUCHDC, 2, backbone, bigger=bigger).encoder.stages
    blocks = [*stages[-2].layer3, *stages[-1].layer4]
    for block, dilation in zip(blocks, layer3 + layer4, strict=True):
        for conv in (part for part in block.modules() if isinstance(part, nn.Conv2d)):
            is_kernel = conv.kernel_size == (3, 3)
            assert conv.dilation == ((dilation, dilation) if is_kernel else (1, 1))
            assert conv.padding == ((dilation, dilation) if is_kernel else (0, 0))
            assert conv.stride == (1, 1)


def test_global_conv_is_the_sum_of_two_separable_kernels():
    torch.manual_seed(0)
    block, x = GlobalConv(3, 4, 5), torch.rand(2, 3, 9, 12)
    (column, row), (row2, column2) = (
        [line[0].weight for line in pair] for pair in (block.column_row, block.row_column)
    )
    dense = torch.einsum("miy,omx->oiyx", column[..., 0], row[..., 0, :])
    dense = dense + torch.einsum("mix,omy->oiyx", row2[..., 0, :], column2[..., 0])
    torch.testing.assert_close(block(x), F.conv2d(x, dense, padding=2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [1, 7, 11])
def test_a_global_conv_sees_its_square_and_no_more(kernel_size):
    torch.manual_seed(0)
    x = torch.rand(1, 2, 25, 25, requires_grad=True)
    GlobalConv(2, 3, kernel_size)(x)[0, 0, 12, 12].backward()
    expected = torch.zeros(25, 25, dtype=torch.bool)
    reach = kernel_size // 2
    expected[12 - reach : 13 + reach, 12 - reach : 13 + reach] = True
    assert torch.equal(x.grad[0].abs().sum(0) > 0, expected)


def test_strided_and_dilated_lines_keep_the_grid():
    """Stride 2 is every second pixel of stride 1; dilation 2 works on the even pixels alone."""
    torch.manual_seed(0)
    x, fine = torch.rand(1, 3, 21, 26), GlobalConv(3, 4, 5)
    strided, dilated = GlobalConv(3, 4, 5, stride=2), GlobalConv(3, 4, 5, dilation=2)
    strided.load_state_dict(fine.state_dict())
    dilated.load_state_dict(fine.state_dict())
    torch.testing.assert_close(strided(x), fine(x)[..., ::2, ::2])
    torch.testing.assert_close(dilated(x)[..., ::2, ::2], fine(x[..., ::2, ::2]))


def test_gcn_blocks_add_no_spread_at_first():
    torch.manual_seed(0)
    x = torch.randn(1, 64, 64, 64)
    inner = GlobalConv(64, 64, 7)(x)[..., 8:-8, 8:-8]
    assert inner.var().item() == pytest.approx(2, rel=0.2)  # one for each pair
    assert (BoundaryRefinement(64)(x) - x).std() < 0.5


def test_deconv_is_bilinear_at_first():
    ramp = torch.arange(12.0).view(1, 2, 2, 3)
    large = bilinear_deconv(2)(ramp)
    assert torch.equal(large[..., ::2, ::2], ramp)
    between = torch.tensor([[1.5, 2, 2.5, 3, 3.5], [7.5, 8, 8.5, 9, 9.5]])
    assert torch.equal(large[0, :, 1, :-1], between)


@pytest.mark.parametrize("norm_act", [True, False])
@pytest.mark.parametrize("scale", [2, 4])
def test_duc_is_nearest_neighbour_at_first(scale, norm_act):
    torch.manual_seed(0)
    large = DUC(8, 5, scale, norm_act)(torch.randn(2, 8, 6, 7))
    assert large.shape == (2, 5, 6 * scale, 7 * scale)
    small = large[..., ::scale, ::scale]
    assert torch.equal(large, F.interpolate(small, scale_factor=scale, mode="nearest"))
    assert small.std() > 0.1


def test_icnr_survives_in_the_model():
    torch.manual_seed(0)
    model = DUCHDC(3, "resnet18")
    scores = run(model, (64, 64))["out"]
    small = scores[..., ::4, ::4]
    assert torch.equal(scores, F.interpolate(small, scale_factor=4, mode="nearest"))
    assert scores.min() < 0 < scores.max()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    "model, args",
    [
        (GCN, {"backbone": "resnet18"}),
        (GCN, {"backbone": "resnet18", "deconv": True, "kernel_size": 7}),
        (GCN, {"backbone": "resnet18", "deconv": True, "output_stride": 8}),
        (DUCHDC, {"backbone": "resnet18", "bigger": True}),
    ],
)
def test_odd_sizes(model, args, size):
    assert run(model(3, **args), size)["out"].shape == (1, 3, *size)


def test_gcn_on_a_network_that_rounds_sizes_down():
    assert run(GCN(2, "densenet121", deconv=True), (65, 97))["out"].shape == (1, 2, 65, 97)


@pytest.mark.parametrize("output_stride", [8, 32])
def test_resnet_gcn_learns_everywhere(output_stride):
    torch.manual_seed(0)
    model = GCN(3, output_stride=output_stride, resnet_gcn=True, deconv=True)
    model(torch.rand(2, 3, 64, 70))["out"].square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    deepest = model.encoder(torch.rand(2, 3, 64, 64))[-1]
    assert deepest.shape[-2:] == (64 // output_stride, 64 // output_stride)


def test_output_stride_4():
    model = DUCHDC(3, "resnet18", output_stride=4)
    assert model.stride == 4 and model.encoder.strides == [1, 2, 4, 4, 4]
    features = model.eval().encoder(torch.rand(1, 3, 64, 96))
    assert [64 // feature.shape[-2] for feature in features] == model.encoder.strides
    assert run(model, (65, 97))["out"].shape == (1, 3, 65, 97)


@pytest.mark.parametrize("model", [GCN, DUCHDC])
def test_named_outputs(model):
    outputs = run(model({"semantic": 2, "embedding": 8}, "resnet18"), (64, 64))
    shapes = {name: tuple(out.shape) for name, out in outputs.items()}
    assert shapes == {"semantic": (1, 2, 64, 64), "embedding": (1, 8, 64, 64)}


@pytest.mark.parametrize(
    "model, args, message",
    [
        (GCN, {"kernel_size": 10}, "kernel_size is 10; a global convolution's side is odd"),
        (GCN, {"kernel_size": -1}, "kernel_size is -1; a global convolution's side is odd"),
        (
            GCN,
            {"backbone": "resnet18", "resnet_gcn": True},
            "resnet_gcn is for resnet50, resnet101, resnet152, not 'resnet18'",
        ),
        (
            GCN,
            {"resnet_gcn": True, "freeze_backbone": True},
            "freeze_backbone would keep the random kernels that resnet_gcn puts into the backbone",
        ),
        (
            DUCHDC,
            {"backbone": "vgg16"},
            "DUCHDC is built on a ResNet, not on 'vgg16'; there are resnet18, resnet34",
        ),
        (DUCHDC, {"output_stride": 16}, "DUCHDC has output stride 4 or 8, not 16"),
    ],
)
def test_impossible_models(model, args, message):
    with pytest.raises(ValueError) as error:
        model(2, **args)
    assert message in str(error.value)
