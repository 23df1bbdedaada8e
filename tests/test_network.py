"""What wraps a model leaves the network the same, and what is frozen frozen."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from models import MODELS
from utils.engine import network
from utils.engine.network import make_network, with_synch_bn
from utils.errors import UserError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


class NormAct(nn.BatchNorm2d):
    """A norm with an activation inside, as timm's are."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


def converted(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """As one of two processes has it; the model itself stays on the CPU."""
    monkeypatch.setattr(network, "world_size", lambda: 2)
    return with_synch_bn(model, CUDA)


def test_synch_bn_is_the_same_network(monkeypatch):
    model = MODELS.build({"type": "FPN", "args": {"backbone": "resnet18"}}, out_channels=2).eval()
    before = model(IMAGE)["out"]
    model = converted(model, monkeypatch)
    kinds = [type(part) for part in model.modules()]
    assert nn.SyncBatchNorm in kinds and nn.BatchNorm2d not in kinds
    assert torch.equal(model(IMAGE)["out"], before)


def test_synch_bn_refuses_a_norm_that_does_more(monkeypatch):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), NormAct(4))
    with pytest.raises(UserError, match="use_synch_bn: 2 is a NormAct, of which") as error:
        converted(model, monkeypatch)
    assert "set it to false" in str(error.value)


def test_synch_bn_refuses_timm_norms_with_activations(monkeypatch):
    pytest.importorskip("timm")
    section = {"type": "FPN", "args": {"backbone": "timm/mobilenetv3_small_050"}}
    with pytest.raises(UserError, match="encoder.net.blocks.0.0.bn1 is a BatchNormAct2d"):
        converted(MODELS.build(section, out_channels=2), monkeypatch)


@pytest.mark.parametrize("wrap", ["synch_bn", "data_parallel"])
def test_a_frozen_backbone_stays_frozen_when_wrapped(wrap, monkeypatch):
    """Neither a gradient nor a running statistic of the encoder moves; the decoder's do."""
    args = {"backbone": "resnet18", "freeze_backbone": True}
    model = MODELS.build({"type": "UNet", "args": args}, out_channels=2)
    if wrap == "synch_bn":
        model = net = converted(model, monkeypatch)
    else:
        net = make_network(model, [CPU, CPU], None, compile=False)
        assert isinstance(net, nn.DataParallel)
    net.train()
    assert not any(part.training for part in model.encoder.modules())
    before = copy.deepcopy(model.state_dict())
    net(IMAGE)["out"].sum().backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.decoder.parameters())
    moved = [n for n, v in model.state_dict().items() if not torch.equal(v, before[n])]
    assert moved and not [name for name in moved if name.startswith("encoder.")]
