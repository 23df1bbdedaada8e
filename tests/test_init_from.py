"""`init_from`: what fits is loaded, the rest is adapted or counted, nothing is silent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import train
from base.base_model import BaseModel
from models import MODELS, rebuild
from models.init_from import start_from
from utils import checkpoint
from utils.command import run
from utils.errors import UserError

OLD = ["sky", "road", "car", "tree"]
IMAGE = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def identity(name: str, classes: list[str] = OLD, out_channels=None, **args) -> dict:
    section = MODELS.resolve({"type": name, "args": args})
    return {"arch": section, "out_channels": out_channels or len(classes), "classes": classes}


def built(identity: dict, seed: int = 0) -> nn.Module:
    """A model whose norms are not as good as absent."""
    torch.manual_seed(seed)
    model = rebuild(identity).eval()
    for value in model.state_dict().values():
        if value.is_floating_point() and value.ndim == 1:
            value.uniform_(0.5, 1.5)
    return model


def saved(folder: Path, model: nn.Module, **more) -> Path:
    path = folder / "weights.pth"
    torch.save({"state_dict": model.state_dict(), **more}, path)
    return path


def outputs(model: nn.Module, image: Tensor = IMAGE) -> Tensor:
    with torch.no_grad():
        return model(image)["out"]


def close(one: Tensor, other: Tensor) -> None:
    scale = float(other.abs().max())
    torch.testing.assert_close(one / scale, other / scale, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- all of it fits


def nested(key: str):
    return lambda state: {key: state, "epoch": 3}


def prefixed(prefix: str):
    return lambda state: {f"{prefix}{name}": value for name, value in state.items()}


def lightning(prefix: str):
    return lambda state: {"pytorch-lightning_version": "2", "state_dict": prefixed(prefix)(state)}


@pytest.mark.parametrize(
    "form",
    [
        dict,
        prefixed("module."),
        prefixed("_orig_mod.module."),
        prefixed("module._orig_mod."),
        lightning("model."),
        lightning("model._orig_mod."),
        nested("state_dict"),
        nested("model_state_dict"),
        nested("model"),
        lambda state: {"ema": {"state_dict": state}, "state_dict": {"other": torch.zeros(1)}},
        lambda state: {"ema": None, "state_dict": state, "classes": OLD},
    ],
    ids=[
        *("plain", "DataParallel", "compiled DataParallel", "DataParallel of compiled"),
        *("Lightning", "Lightning of compiled"),
        "state_dict",
        "model_state_dict",
        "model",
        "average",
        "no average",
    ],
)
def test_forms_of_a_file(form, tmp_path):
    here = identity("ENet")
    old, new = built(here), built(here, seed=1)
    torch.save(form(old.state_dict()), tmp_path / "weights.pth")
    report = start_from(new, tmp_path / "weights.pth", here)
    assert torch.equal(outputs(new), outputs(old))
    assert len(report.loaded) == len(old.state_dict())
    assert report.lines() == [f"  loaded {len(report.loaded)} of {len(report.loaded)} tensors"]


# ---------------------------------------------------------------- other classes


@pytest.mark.parametrize("name", MODELS)
def test_classes_in_another_order(name, monkeypatch):
    """A class gives the score it gave before, wherever it now stands."""
    there, here = identity(name), identity(name, ["tree", "sky", "car", "road"])
    old, new = built(there), built(here, seed=1)
    state = {"state_dict": old.state_dict(), "classes": OLD}
    monkeypatch.setattr(checkpoint, "load", lambda path: state)  # some are half a gigabyte
    report = start_from(new, "weights.pth", here)
    assert report.adapted and not report.skipped and not report.missing
    close(outputs(new), outputs(old)[:, [3, 0, 2, 1]])


def test_a_model_in_a_part_called_model(tmp_path, monkeypatch):
    """The names of our own files are as they are, though all begin as Lightning's do."""

    class Around(BaseModel):
        def __init__(self, out_channels: int):
            super().__init__()
            self.model = MODELS["ENet"](out_channels)

        def forward(self, image: Tensor) -> dict[str, Tensor]:
            return self.model(image)

    monkeypatch.setitem(MODELS._classes, "Around", Around)
    here = identity("Around")
    old, new = built(here), built(here, seed=1)
    assert not start_from(new, saved(tmp_path, old), here).missing
    assert torch.equal(outputs(new), outputs(old))


@pytest.mark.parametrize(
    ("name", "args"), [("ENet", {}), ("UNet", {"backbone": "resnet18"})], ids=["ENet", "UNet"]
)
@pytest.mark.parametrize("classes", [["car", "lake", "sky"], [*"abc", "car", *"defg", "sky"]])
def test_more_and_fewer_classes(name, args, classes, tmp_path):
    """Classes that both sides name keep their scores, the head of the others is as built."""
    there, here = identity(name, **args), identity(name, classes, **args)
    old, new = built(there), built(here, seed=1)
    before = {key: value.clone() for key, value in new.state_dict().items()}
    report = start_from(new, saved(tmp_path, old, classes=OLD), here)
    assert not report.skipped and not report.missing
    assert all(f"(2 of {len(classes)} classes by name)" in label for label in report.adapted)
    common = [classes.index("sky"), classes.index("car")]
    close(outputs(new)[:, common], outputs(old)[:, [0, 2]])
    axis = 1 if name == "ENet" else 0  # ENet's head is a transposed convolution
    fresh = torch.tensor([i for i in range(len(classes)) if i not in common])
    for key in (label.split()[0] for label in report.adapted):
        assert torch.equal(
            new.state_dict()[key].index_select(axis, fresh), before[key].index_select(axis, fresh)
        )


def test_layers_as_wide_as_there_are_classes_are_no_heads(tmp_path):
    """ENet has layers 16 wide: with 16 classes in another order only the head's rows move."""
    names = [*"abcdefghijklmnop"]
    there, here = identity("ENet", names), identity("ENet", names[::-1])
    old, new = built(there), built(here, seed=1)
    report = start_from(new, saved(tmp_path, old, classes=names), here)
    assert [label.split()[0] for label in report.adapted] == ["head.out.weight"]
    close(outputs(new), outputs(old).flip(1))


@pytest.mark.parametrize(
    ("more", "why"),
    [({}, "16x4x3x3, here 16x2x3x3"), ({"classes": OLD}, "no class in common")],
    ids=["no names", "other names"],
)
def test_head_that_cannot_be_taken(more, why, tmp_path):
    here = identity("ENet", ["lane", "rest"])
    old, new = built(identity("ENet")), built(here, seed=1)
    report = start_from(new, saved(tmp_path, old, **more), here)
    assert report.skipped == [f"head.out.weight ({why})"]
    assert report.missing == ["head.out.weight"] and not report.adapted
    assert torch.equal(new.initial.conv.weight, old.initial.conv.weight)


def test_embeddings_start_from_classes(tmp_path):
    """The head for embeddings is as built, though a class count may equal their number."""
    here = identity("ENet", ["plant", "pot", "leaf"], out_channels={"semantic": 3, "embedding": 8})
    old, new = built(identity("ENet", out_channels={"semantic": 4})), built(here, seed=1)
    report = start_from(new, saved(tmp_path, old, classes=["pot", "sky", "leaf", "sea"]), here)
    assert report.adapted == ["head.semantic.weight (2 of 3 classes by name)"]
    assert report.missing == ["head.embedding.weight"] and not report.skipped
    assert torch.equal(
        new.head["semantic"].weight[:, [1, 2]], old.head["semantic"].weight[:, [0, 2]]
    )


@pytest.mark.parametrize("told", ["here", "there"])
def test_embeddings_are_no_classes_though_as_many(told, tmp_path):
    """Two channels of embeddings beside two classes: nothing goes by name."""
    here = identity("ENet", ["plant", "pot"])
    old, new = built(identity("ENet", ["pot", "plant"])), built(here, seed=1)
    embeds = {"loss": {"type": "Discriminative", "args": {"embedding_dim": 2}}}
    classes = {"loss": [{"type": "CrossEntropy"}]}
    here["config"] = embeds if told == "here" else classes
    there = classes if told == "here" else embeds
    path = saved(tmp_path, old, classes=["pot", "plant"], config=there)
    report = start_from(new, path, here)
    assert not report.adapted and torch.equal(outputs(new), outputs(old))
    here["config"] = classes
    path = saved(tmp_path, old, classes=["pot", "plant"], config=classes)
    assert start_from(new, path, here).adapted
    close(outputs(new), outputs(old).flip(1))


BACKBONES = {"GCN": {"backbone": "resnet18"}, "DUCHDC": {"backbone": "resnet18"}, "ENet": {}}


@pytest.mark.parametrize("outputs", [("semantic", "embedding"), ("embedding", "semantic")])
@pytest.mark.parametrize("name", BACKBONES)
def test_classes_beside_embeddings_in_another_order(name, outputs, tmp_path):
    """GCN and DUCHDC keep both outputs in one layer: classes move, embeddings keep their place."""
    channels = {output: {"semantic": 4, "embedding": 8}[output] for output in outputs}
    there = identity(name, OLD, channels, **BACKBONES[name])
    here = identity(name, ["tree", "sky", "car", "road"], channels, **BACKBONES[name])
    old, new = built(there), built(here, seed=1)
    report = start_from(new, saved(tmp_path, old, classes=OLD, out_channels=channels), here)
    assert report.adapted and not report.skipped and not report.missing
    with torch.no_grad():
        ours, theirs = new(IMAGE), old(IMAGE)
    close(ours["semantic"], theirs["semantic"][:, [3, 0, 2, 1]])
    close(ours["embedding"], theirs["embedding"])


@pytest.mark.parametrize("classes", [OLD, ["car", "lake", "sky"]], ids=["same", "other"])
@pytest.mark.parametrize("name", BACKBONES)
def test_classes_of_a_single_output_go_to_the_output_of_classes(name, classes, tmp_path):
    """Whatever it is called; the embeddings beside it are as built."""
    channels = {"embedding": 8, "semantic": len(classes)}
    here = identity(name, classes, channels, **BACKBONES[name])
    old, new = built(identity(name, **BACKBONES[name])), built(here, seed=1)
    report = start_from(new, saved(tmp_path, old, classes=OLD, out_channels=4), here)
    assert not report.skipped
    assert report.missing == (["head.embedding.weight"] if name == "ENet" else [])
    rows = {"ENet": "head.{}.weight", "DUCHDC": "score.0.weight", "GCN": "scores.0.1.branch.0.bias"}
    mine = new.state_dict()[rows[name].format("semantic")]
    theirs = old.state_dict()[rows[name].format("out")]
    common = [label for label in classes if label in OLD]
    each = 16 if name == "DUCHDC" else 1
    axis, before = (1, 0) if name == "ENet" else (0, 8)
    for label in common:
        to, source = before + classes.index(label), OLD.index(label)
        assert torch.equal(
            mine.narrow(axis, to * each, each), theirs.narrow(axis, source * each, each)
        )


@pytest.mark.parametrize(
    "config",
    ["x", 5, {}, {"loss": 5}, {"loss": [None]}, {"loss": {"type": ["x"]}}, {"loss": {"args": 1}}],
    ids=str,
)
def test_a_config_that_is_none_of_ours_tells_nothing(config, tmp_path):
    """Nor do channels that are none."""
    here = identity("ENet", ["tree", "sky", "car", "road"])
    old, new = built(identity("ENet")), built(here, seed=1)
    told = {"config": config, "out_channels": torch.ones(2)}
    assert start_from(new, saved(tmp_path, old, classes=OLD, **told), here).adapted
    close(outputs(new), outputs(old)[:, [3, 0, 2, 1]])


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of sparse tensors
def test_tensors_that_are_not_dense_are_refused(tmp_path):
    here = identity("ENet")
    model = built(here)
    before = outputs(model)
    state = model.state_dict()
    state["head.out.weight"] = state["head.out.weight"].to_sparse()
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="tensor head.out.weight is sparse"):
        start_from(model, tmp_path / "weights.pth", here)
    assert torch.equal(outputs(model), before)


def test_weights_of_a_diverged_run_are_refused(tmp_path):
    here = identity("ENet")
    model, diverged = built(here), built(here)
    before = outputs(model)
    diverged.state_dict()["head.out.weight"][0] = torch.nan
    message = "no finite numbers, in 1 tensors such as head.out.weight: its training has diverged"
    with pytest.raises(UserError, match=message):
        start_from(model, saved(tmp_path, diverged), here)
    assert torch.equal(outputs(model), before)


def test_a_constructor_that_reads_values_builds_all_the_same(tmp_path, monkeypatch):
    """Rates that fall, as many networks make them: with sizes alone it cannot be built."""

    class Falling(MODELS["ENet"]):
        def __init__(self, out_channels: int):
            super().__init__(out_channels, dropout=torch.linspace(0.2, 0.1, 2).tolist())

    monkeypatch.setitem(MODELS._classes, "Falling", Falling)
    here = identity("Falling", ["tree", "sky", "car", "road"])
    old, new = built(identity("Falling")), built(here, seed=1)
    state = torch.random.get_rng_state()
    start_from(new, saved(tmp_path, old, classes=OLD), here)
    assert torch.equal(state, torch.random.get_rng_state())
    close(outputs(new), outputs(old)[:, [3, 0, 2, 1]])


# ---------------------------------------------------------------- other images, other models


def pair(name: str = "ENet", **args) -> dict:
    return identity("MeanTeacher", model={"type": name, "args": args})


def test_a_plain_network_starts_student_and_teacher(tmp_path):
    there = identity("FPN", ["tree", "car"], backbone="resnet18")
    here = pair("FPN", backbone="resnet18", in_channels=1)
    old, new = built(there), built(here, seed=1)
    report = start_from(new, saved(tmp_path, old, classes=["tree", "car"]), here)
    assert not report.missing and not report.skipped
    assert sum("(3 to 1 channels)" in label for label in report.adapted) == 2
    assert sum("(2 of 4 classes by name)" in label for label in report.adapted) == 4
    with torch.no_grad():
        grey = IMAGE[:, :1]
        both, expected = new(grey), outputs(old, grey.expand(1, 3, 64, 64))
    for name in ("out", "teacher"):
        close(both[name][:, [3, 2]], expected)


def test_a_plain_network_starts_from_a_student(tmp_path):
    here = identity("ENet")
    old, new = built(pair()), built(here, seed=1)
    report = start_from(new, saved(tmp_path, old, classes=OLD), here)
    assert not report.missing and not report.adapted
    assert len(report.skipped) == len(report.loaded)
    assert all(name.startswith("teacher.") for name in report.skipped)
    assert torch.equal(outputs(new), outputs(old))


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_other_image_channels(channels, tmp_path):
    """An image whose channels are equal gives the scores it gave before."""
    args = {"backbone": "resnet18"}
    old = built(identity("UNet", **args))
    here = identity("UNet", in_channels=channels, **args)
    new = built(here, seed=1)
    report = start_from(new, saved(tmp_path, old), here)
    (label,) = report.adapted
    assert label.endswith(f"conv1.weight (3 to {channels} channels)")
    assert not report.skipped and not report.missing
    grey = IMAGE[:, :1]
    close(outputs(new, grey.expand(1, channels, 64, 64)), outputs(old, grey.expand(1, 3, 64, 64)))


def test_every_tensor_is_counted(tmp_path):
    old = built(identity("UNet", backbone="resnet18"))
    here = identity("UNet", backbone="resnet34", decoder_channels=[64, 64, 32, 32, 16])
    new = built(here, seed=1)
    state = torch.random.get_rng_state()
    report = start_from(new, saved(tmp_path, old, classes=["a"]), here)
    taken = len(report.loaded) + len(report.adapted)
    assert taken + len(report.missing) == len(new.state_dict())
    assert taken + len(report.skipped) == len(old.state_dict())
    assert report.loaded and report.skipped and report.missing
    assert all(len(line) <= 80 for line in report.lines()) and len(report.lines()) < 12
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "state", [{"conv1.weight": torch.zeros(64, 3, 7, 7)}, {"epoch": 3}], ids=["backbone", "empty"]
)
def test_nothing_fits(state, tmp_path):
    here = identity("ENet")
    model = built(here)
    before = outputs(model)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="nothing in .*weights.pth fits the model ENet") as error:
        start_from(model, tmp_path / "weights.pth", here)
    assert "arch.args.pretrained" in str(error.value)
    assert torch.equal(outputs(model), before)


def test_train_starts_from_a_run_on_other_classes(tiny, tmp_path, capsys):
    """Shapes has four classes; the checkpoint names two of them, and one of its own."""
    there = identity("ENet", ["square", "hexagon", "disc"])
    path = saved(tmp_path, built(there), classes=there["classes"])
    (tmp_path / "config.json").write_text(json.dumps(tiny | {"init_from": str(path)}))
    argv = ["-c", str(tmp_path / "config.json"), "-d", "cpu", "--check"]
    assert run(lambda: train.main(train.parse(argv))) == 0
    assert "adapted 1: head.out.weight (2 of 4 classes by name)" in capsys.readouterr().out
