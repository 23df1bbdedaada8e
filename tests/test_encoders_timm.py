"""Networks of timm that cannot be taken, played by a small one: timm itself need not be there."""

from __future__ import annotations

import sys
import types

import pytest
from torch import Tensor, nn

from models.encoders import make_encoder

WIDTHS = [8, 16, 24, 32]


class Net(nn.Module):
    """Maps of strides 4 to 32; channels last where asked for."""

    def __init__(self, last: bool, stride: int):
        super().__init__()
        self.last = last
        self.convs = nn.ModuleList(
            nn.Conv2d(before, width, 3, step, 1)
            for before, width, step in zip([3, *WIDTHS], WIDTHS, (stride, 2, 2, 2), strict=False)
        )
        self.feature_info = types.SimpleNamespace(
            channels=lambda: WIDTHS, reduction=lambda: [4, 8, 16, 32]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for conv in self.convs:
            x = conv(x)
            maps.append(x.permute(0, 2, 3, 1) if self.last else x)
        return maps


@pytest.fixture
def fake_timm(monkeypatch):
    def install(make) -> None:
        fake = types.SimpleNamespace(
            __version__="0", is_model=lambda name: True, create_model=lambda name, **_: make()
        )
        monkeypatch.setitem(sys.modules, "timm", fake)

    return install


def test_a_network_that_keeps_its_word(fake_timm):
    fake_timm(lambda: Net(last=False, stride=4))
    assert make_encoder("timm/small").channels == WIDTHS


@pytest.mark.parametrize(
    ("last", "stride", "message"),
    [
        (True, 4, "gives a map of 17x25x8 for an image of 65x97, where 8 channels first and st"),
        (False, 2, "gives a map of 8x33x49 for an image of 65x97, where 8 channels first and st"),
    ],
    ids=["channels last", "other strides"],
)
def test_maps_of_another_shape_are_refused(last, stride, message, fake_timm):
    fake_timm(lambda: Net(last, stride))
    with pytest.raises(ValueError, match=message):
        make_encoder("timm/small")


@pytest.mark.parametrize(
    ("error", "output_stride", "says"),
    [
        (
            TypeError("Net.__init__() got an unexpected keyword argument 'output_stride'"),
            16,
            'no feature maps at output stride 16; set "output_stride" to 32, or take another netw',
        ),
        (AssertionError(), 8, 'at output stride 8; set "output_stride" to 32, or take another'),
        (RuntimeError("kernel"), 32, "at output stride 32 (kernel); take another network"),
        (AssertionError("no features"), 32, "at output stride 32 (no features); take another net"),
        (AssertionError(), 32, "at output stride 32; take another network"),
    ],
    ids=repr,
)
def test_a_network_that_cannot_be_built_so(error, output_stride, says, fake_timm):
    def refuse() -> None:
        raise error

    fake_timm(refuse)
    with pytest.raises(ValueError) as raised:
        make_encoder("timm/small", output_stride=output_stride)
    assert says in str(raised.value)
