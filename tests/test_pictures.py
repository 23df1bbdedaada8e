"""Pictures: objects keep their colours, embeddings theirs, and a run shows every head."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

import train
from base.base_loss import LOSSES, BaseLoss
from utils.clustering import LABELERS, Labeler
from utils.image_io import read_image
from utils.instance_pictures import COLORS, CONFUSED, FALSE, MATCHED, MISSED, colorize_instances
from utils.pca import PrincipalComponents
from utils.visualize import (
    colorize,
    contact_sheet,
    draw_errors,
    draw_labels,
    draw_scatter,
    error_map,
)
from utils.writers.embeddings import EmbeddingWriter
from utils.writers.writer import Result, Task

PALETTE = [[0, 0, 0], [200, 0, 0]]


def colors_of(labels: np.ndarray) -> dict[int, tuple[int, ...]]:
    picture = colorize_instances(labels)
    assert picture.shape == (*labels.shape, 3) and picture.dtype == np.uint8
    found = {}
    for label in np.unique(labels).tolist():
        (color,) = {tuple(c) for c in picture[labels == label].tolist()}
        found[label] = color
    return found


def test_background_is_black_and_ignored_white():
    found = colors_of(np.array([[0, 0, -1], [5, 2**40, -1]]))
    assert found[0] == (0, 0, 0) and found[-1] == (255, 255, 255)
    assert len(set(found.values())) == 4


def test_colours_do_not_depend_on_the_picture():
    labels = np.kron(np.arange(12).reshape(3, 4), np.ones((9, 9), int))
    found = colors_of(labels)
    for label, color in colors_of(np.where(labels < 6, labels, 0)).items():
        assert found[label] == color


def test_neighbours_differ_whatever_their_ids():
    """Ids that all ask for one colour: a chess board of 40 objects, some a gap apart."""
    labels = len(COLORS) * np.arange(1, 41).reshape(5, 8)
    for gap in (0, 2):
        board = np.kron(labels, np.pad(np.ones((8, 8), int), ((0, gap), (0, gap))))
        picture = colorize_instances(board)[4 :: 8 + gap, 4 :: 8 + gap].astype(int)
        assert (np.abs(np.diff(picture, axis=0)).sum(-1) > 0).all()
        assert (np.abs(np.diff(picture, axis=1)).sum(-1) > 0).all()


def test_the_target_decides_how_labels_are_drawn():
    labels = np.array([[0, 1], [255, -1]])
    assert (draw_labels(labels, "semantic", PALETTE) == colorize(labels, PALETTE)).all()
    assert (draw_labels(labels, "instance", PALETTE) == colorize_instances(labels)).all()
    truth = np.array([[0, 0], [1, 255]])
    errors = draw_errors(labels, truth, "semantic", 255)
    assert (errors == error_map(labels, truth, 255)).all()


def test_an_object_that_matches_has_the_colour_of_the_true_one():
    """Of blocks of 5: two that match under other ids, one found too much, one not found."""
    truth = np.kron([[3, 9, 0, 4, -1]], np.ones((5, 5), int))
    labels = np.kron([[1, 2, 3, 0, 3]], np.ones((5, 5), int))
    true = draw_labels(truth, "instance", PALETTE)
    found = draw_labels(labels, "instance", PALETTE, truth)
    same = (true == found).all(2)[1, 2::5].tolist()
    assert same == [True, True, False, False, False]
    assert (draw_labels(truth * 0, "instance", PALETTE, truth) == 0).all()
    assert len({tuple(c) for c in found[1, 2::5].tolist()}) == 4


def test_the_fate_of_each_object():
    """Blocks of 5: matched, missed, found too much, and one of two halves; then an ignored one."""
    truth = np.kron([[1, 2, 0, 3, 3, -1]], np.ones((5, 5), int))
    labels = np.kron([[7, 0, 8, 9, 4, 6]], np.ones((5, 5), int))
    picture = draw_errors(labels, truth, "instance", -1)
    middle = [tuple(c) for c in picture[1, 2::5].tolist()]
    assert middle == [MATCHED, MISSED, FALSE, CONFUSED, CONFUSED, (255, 255, 255)]


def test_errors_of_maps_without_objects():
    none = np.zeros((4, 5), int)
    assert len(np.unique(draw_errors(none, none, "instance", -1).reshape(-1, 3), axis=0)) == 1
    void = draw_errors(none + 1, none - 1, "instance", -1)
    assert (void == 255).all()


# principal components


def embedding(width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    spread = np.arange(width, 0, -1)[:, None, None] ** 2.0
    return rng.normal(size=(width, 20, 30)) * spread + 5


def test_components_are_sklearns_up_to_sign():
    from sklearn.decomposition import PCA

    maps = embedding(6)
    points = maps.reshape(6, -1).T
    ours, theirs = PrincipalComponents([maps]), PCA(3).fit(points)
    np.testing.assert_allclose(np.abs(ours.basis.T), np.abs(theirs.components_), atol=1e-8)
    np.testing.assert_allclose(ours.mean, theirs.mean_)


def test_colours_are_the_same_in_every_map_and_every_time():
    first, second = embedding(8), embedding(8, seed=1)
    fitted = PrincipalComponents([first])
    moved = second.copy()
    moved[:, 0, 0] = first[:, 0, 0]
    assert (fitted.colors(moved)[0, 0] == fitted.colors(first)[0, 0]).all()
    again = PrincipalComponents([first.astype(np.float32)])
    assert np.abs(again.colors(first).astype(int) - fitted.colors(first)).max() <= 1
    largest = np.abs(fitted.basis).argmax(0)
    assert (fitted.basis[largest, range(3)] > 0).all()


@pytest.mark.parametrize("width", [1, 2, 3, 16])
def test_any_number_of_channels(width):
    picture = PrincipalComponents([embedding(width)]).colors(embedding(width))
    assert picture.shape == (20, 30, 3) and picture.dtype == np.uint8
    assert picture[..., 0].std() > 0
    assert (picture[..., 0] == picture[..., 2]).all() == (width == 1)
    if width == 2:
        assert picture[..., 2].std() == 0


def test_flat_and_broken_embeddings_are_drawn():
    flat = np.full((4, 6, 7), 3.0)
    assert len(np.unique(PrincipalComponents([flat]).colors(flat))) == 1
    broken = np.full((4, 6, 7), np.nan)
    PrincipalComponents([broken]).colors(broken)
    broken[:, :, :5] = embedding(4)[:, :6, :5]
    assert PrincipalComponents([broken]).colors(broken)[:, :5].std() > 0


@pytest.mark.parametrize("nothing", [3.0, np.nan])
def test_a_flat_first_embedding_decides_no_colours(nothing, tmp_path):
    writer, wide = EmbeddingWriter(tmp_path), embedding(4).astype(np.float32)
    task = Task(["a"], [[0, 0, 0]], "instance", scores=(), embedding="out")
    for name, each in (("a", np.full_like(wide, nothing)), ("b", wide), ("c", 2 * wide)):
        image, labels = np.zeros((*wide.shape[1:], 3), np.uint8), np.zeros(wide.shape[1:], int)
        result = Result(task, image, labels, {"out": torch.from_numpy(each)})
        writer(tmp_path / f"{name}_predictions.h5", result)
    fitted = PrincipalComponents([wide])
    for name, each in (("b", wide), ("c", 2 * wide)):
        picture = read_image(tmp_path / f"{name}_predictions_1.png")
        assert np.array_equal(picture, fitted.colors(each))


@pytest.mark.parametrize("width", [2, 3])
def test_scatter_has_its_objects_colours(width):
    points = np.random.default_rng(0).normal(size=(200, width))
    labels = np.arange(200) % 2
    colors = np.tile(np.array([[0, 0, 255]], np.uint8), (200, 1))
    picture = draw_scatter(points, labels, colors).astype(int)
    assert ((picture[..., 2] - picture[..., 0]) > 200).any()


# a run


class Spread(BaseLoss):
    """Pull the embedding to zero: enough of a loss for pictures."""

    target = "instance"

    def __init__(self, num_classes: int, ignore_index: int, channels: int = 4):
        super().__init__(num_classes, ignore_index)
        self.out_channels = channels

    def terms(self, scores: Tensor, target: Tensor) -> dict[str, Tensor]:
        return {"norm": scores.square().mean()}


class Positive(Labeler):
    """Object 1 where the first channel is positive."""

    def __init__(self, output: str = "out"):
        self.output = output

    def __call__(self, outputs: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        return (outputs[self.output][:, 0] > 0).long()


@pytest.fixture
def embedding_run(tiny, monkeypatch):
    monkeypatch.setitem(LOSSES._classes, "Spread", Spread)
    monkeypatch.setitem(LABELERS._classes, "Positive", Positive)
    config = copy.deepcopy(tiny)
    config["trainer"] |= {"tensorboard": True, "epochs": 1, "monitor": "max SBD"}
    config |= {"labeler": {"type": "Positive"}, "metric": {"type": "InstanceScores"}}
    return config


def train_and_look(config: dict, target: str, tmp_path: Path, monkeypatch) -> tuple[Path, list]:
    """The run's folder and the titles of its sheets."""
    sheets = []

    def remember(rows, titles, **rest):
        sheets.append([*titles])
        return contact_sheet(rows, titles, **rest)

    monkeypatch.setattr("utils.engine.preview.contact_sheet", remember)
    for key in ("train_loader", "val_loader"):
        config[key]["args"]["target"] = target
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    train.main(train.parse(["-c", str(file), "-d", "cpu"]))
    (run,) = (tmp_path / "saved" / "tiny").iterdir()
    return run, sheets


def test_a_run_with_embeddings_shows_them(embedding_run, tmp_path, monkeypatch):
    embedding_run["loss"] = "Spread"
    run, sheets = train_and_look(embedding_run, "instance", tmp_path, monkeypatch)
    assert sheets == [["input", "truth", "prediction", "embedding"], ["embedding"]]
    tags = EventAccumulator(str(run)).Reload().Tags()["images"]
    assert sorted(tags) == ["val/embedding_scatter", "val/input_truth_prediction"]
    (picture,) = (run / "pictures").iterdir()
    assert picture.name == "embedding_scatter_000003.png"
    assert read_image(picture).shape[1] > 400


def test_a_run_with_two_heads_shows_both(embedding_run, tmp_path, monkeypatch):
    embedding_run["loss"] = [
        {"type": "Spread", "output": "embedding"},
        {"type": "CrossEntropy", "output": "semantic"},
    ]
    embedding_run["labeler"]["args"] = {"output": "embedding"}
    _, sheets = train_and_look(embedding_run, "both", tmp_path, monkeypatch)
    titles = ["input", "true semantic", "true instance", "prediction", "semantic", "embedding"]
    assert sheets == [titles, ["embedding"]]


def test_a_head_of_one_channel_has_no_scatter(embedding_run, tmp_path, monkeypatch):
    """A foreground learnt from object ids is no embedding."""
    embedding_run["loss"] = {"type": "Spread", "args": {"channels": 1}}
    run, sheets = train_and_look(embedding_run, "instance", tmp_path, monkeypatch)
    assert sheets == [["input", "truth", "prediction", "embedding"]]
    assert not (run / "pictures").exists()


def test_the_classes_of_a_head_are_drawn_as_classes(tiny, tmp_path, monkeypatch):
    _, sheets = train_and_look(tiny, "both", tmp_path, monkeypatch)
    assert set(map(tuple, sheets)) == {("input", "true semantic", "true instance", "prediction")}
