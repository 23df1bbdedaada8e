"""inference.py: what it takes, what it writes, what it does with what it cannot read."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from pathlib import Path, PurePath

import cv2
import h5py
import numpy as np
import pytest
import torch
from inferring import files, infer, photo
from PIL import Image

import inference
from tools import benchmark
from utils.command import run
from utils.errors import UserError
from utils.image_io import read_image, read_label, write_picture, write_png
from utils.inference.sources import expand, find_source, natural
from utils.pca import PrincipalComponents
from utils.writers import Result, Task
from utils.writers.embeddings import embeddings_of
from utils.writers.submissions import CITYSCAPES, kitti_road_name, voc_palette


def changed(model: Path, path: Path, **values) -> Path:
    """A copy of the checkpoint with other values."""
    torch.save({**torch.load(model), **values}, path)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three images, one of them smaller than the model's stride, one in a folder."""
    sizes = {"a": (45, 70, 3), "b": (5, 3, 3), "deep/c": (64, 33, 3)}
    for seed, (name, size) in enumerate(sizes.items()):
        write_png(tmp_path / "in" / f"{name}.png", photo(size, seed))
    return tmp_path / "in"


# ---------------------------------------------------------------- what it takes


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_a_folder(model, predict, folder, tmp_path, threads):
    assert infer(model, "-i", folder, "-o", tmp_path / "out", "--threads", str(threads)) == 0
    endings = (".png", "_ids.png", "_overlay.png")
    assert files(tmp_path / "out") == {n + e for n in ("a", "b", "deep/c") for e in endings}
    for name in ("a", "b", "deep/c"):
        image = read_image(folder / f"{name}.png")
        for ending in (".png", "_ids.png"):
            found = read_label(tmp_path / "out" / f"{name}{ending}")
            assert np.array_equal(found, predict(image))
        assert read_image(tmp_path / "out" / f"{name}_overlay.png").shape == image.shape


def test_one_file_a_list_a_glob_and_several_words(folder, tmp_path):
    (tmp_path / "list.txt").write_text("in/a.png\n\nin/deep/c.png\n")
    names = {
        (folder / "a.png",): {"a"},
        (tmp_path / "list.txt",): {"a", "deep/c"},
        (folder / "*.png",): {"a", "b"},
        (folder / "**" / "*.png",): {"a", "b", "deep/c"},
        (folder / "a.png", folder / "b.png"): {"a", "b"},
    }
    for places, expected in names.items():
        assert {name.as_posix() for name in find_source(places).names} == expected


def test_frames_are_in_the_order_of_their_numbers(tmp_path):
    for name in ("f10", "f9", "f1"):
        write_png(tmp_path / f"{name}.png", photo((4, 4, 3)))
    assert [path.stem for _, path in expand(tmp_path, None)] == ["f1", "f9", "f10"]
    mixed = [Path("7"), Path("a"), Path("1a"), Path("a1b2"), Path("")]
    assert sorted(mixed, key=natural)  # numbers and words can be compared


def exif(image: np.ndarray, path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6  # turn a quarter to the right to see it
    Image.fromarray(image).save(path, quality=95, exif=tags)


def test_kinds_of_image(tmp_path):
    """Orientation is applied, grey repeated, alpha dropped, 16 bits kept."""
    image = cv2.resize(photo((3, 5, 3)), (50, 30), interpolation=cv2.INTER_NEAREST)
    exif(image, tmp_path / "turned.jpg")
    assert np.abs(read_image(tmp_path / "turned.jpg").astype(int) - np.rot90(image, 3)).mean() < 9
    grey = read_image_of(image[:, :, 0], tmp_path / "grey.png")
    assert np.array_equal(grey, np.repeat(image[:, :, :1], 3, axis=2))
    assert np.array_equal(
        read_image_of(np.dstack([image, grey[:, :, 0]]), tmp_path / "a.png"), image
    )
    deep = image[:, :, 0].astype(np.uint16) * 257
    deep = read_image_of(deep, tmp_path / "deep.png")
    assert deep.dtype == np.uint16 and np.array_equal(deep[:, :, 1] >> 8, image[:, :, 0])


def read_image_of(image: np.ndarray, path: Path) -> np.ndarray:
    write_png(path, image)
    return read_image(path)


def test_a_turned_and_a_deep_image_are_predicted(model, predict, tmp_path):
    (tmp_path / "in").mkdir()
    exif(photo((40, 60, 3)), tmp_path / "in" / "turned.jpg")
    cv2.imwrite(str(tmp_path / "in" / "deep.png"), photo((40, 60, 3)).astype(np.uint16) * 257)
    assert infer(model, "-i", tmp_path / "in", "-o", tmp_path / "out") == 0
    assert read_label(tmp_path / "out" / "turned.png").shape == (60, 40)
    overlay = read_image(tmp_path / "out" / "deep_overlay.png")
    assert overlay.dtype == np.uint8 and overlay.shape == (40, 60, 3)


def test_real_images(model, real_data, tmp_path):
    """CamVid, KITTI, Cityscapes and a highway frame, whole and in windows."""
    found = {
        "camvid/val": (360, 480),
        "kitti_road/data_road/training/image_2": (375, 1242),
        "cityscapes_mini/leftImg8bit/train/aachen": (1024, 2048),
        "tusimple_unlabelled": (720, 1280),
    }
    paths = [next(p for _, p in expand(real_data / place, None)) for place in found]
    words = ("--save", "ids", "--mode", "sliding", "--window", "512", "--overlap", "0")
    assert infer(model, "-i", *paths, "-o", tmp_path / "out", *words) == 0
    sizes = sorted(read_label(p).shape for p in (tmp_path / "out").rglob("*.png"))
    assert sizes == sorted(found.values())


# ---------------------------------------------------------------- what it writes


def test_probabilities_and_confidence(model, predict, folder, tmp_path):
    words = ("--save", "probabilities", "confidence", "--flip")
    assert infer(model, "-i", folder / "a.png", "-o", tmp_path / "out", *words) == 0
    image = read_image(folder / "a.png")
    flipped = predict.outputs(image[:, ::-1].copy())["out"].softmax(1).flip(-1)
    expected = ((predict.outputs(image)["out"].softmax(1) + flipped) / 2)[0].numpy()
    with h5py.File(tmp_path / "out" / "a_probabilities.h5") as file:
        found = file["probabilities"]
        assert found.dtype == np.float16 and list(found.attrs["classes"]) == predict.classes
        np.testing.assert_allclose(found[:], expected, atol=1e-3)
    confidence = read_label(tmp_path / "out" / "a_confidence.png")
    np.testing.assert_allclose(confidence / 255, expected.max(0), atol=0.003)


def test_cityscapes_encoding(model, predict, folder, tmp_path):
    names = ["road", "car", "bicycle", "void"]
    path = changed(model, tmp_path / "street.pth", classes=names)
    words = ("--save", "cityscapes", "kitti", "kitti_road")
    assert infer(path, "-i", folder / "a.png", "-o", tmp_path / "out", *words) == 0
    assert files(tmp_path / "out") == {"cityscapes/a.png", "kitti/a.png", "kitti_road/a.png"}
    image = read_image(folder / "a.png")
    expected = np.array([7, 26, 33, 0])[predict(image)]
    for kind in ("cityscapes", "kitti"):
        assert np.array_equal(read_label(tmp_path / "out" / kind / "a.png"), expected)
    road = predict.outputs(image)["out"].softmax(1)[0, 0].numpy() * 255
    found = read_label(tmp_path / "out" / "kitti_road" / "a.png")
    assert np.abs(found - road).max() <= 0.51


def test_official_numbers_and_names():
    """Of labelIds the 19 of training, and the colours of VOC's first classes and its border."""
    assert len(set(CITYSCAPES.values()) - {0}) == 19
    voc = voc_palette()
    assert voc[:3] == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    assert voc[15] == [192, 128, 128] and voc[255] == [224, 224, 192]
    expected = PurePath("kitti_road/training/um_road_000007.png")
    assert kitti_road_name(PurePath("training/um_000007")) == expected


def test_ade20k_and_voc_encodings(model, predict, folder, tmp_path):
    """Told that there are 150 and 21 classes; the model finds the first four."""
    image = read_image(folder / "a.png")
    for kind, count, shift in (("ade20k", 150, 1), ("voc", 21, 0)):
        told = {"classes": [str(i) for i in range(count)], "palette": [[0, 0, 0]] * count}
        path = changed(model, tmp_path / "m.pth", **told)
        out = tmp_path / kind
        assert infer(path, "-i", folder / "a.png", "-o", out, "--save", kind) == 0
        assert np.array_equal(read_label(out / kind / "a.png"), predict(image) + shift)


def trained_for_objects(model: Path, predict, path: Path) -> Path:
    """A checkpoint whose labels are said to be objects, its output to be their embedding."""
    config = {**predict.config, "metric": [{**predict.config["metric"][0], "target": "instance"}]}
    config["loss"] = {"type": "Discriminative", "args": {"delta_dist": 1.25}}
    return changed(model, path, config=config)


def test_instances_and_embeddings(model, predict, folder, tmp_path):
    path = trained_for_objects(model, predict, tmp_path / "objects.pth")
    words = ("--save", "instances", "overlay", "embeddings")
    assert infer(path, "-i", folder / "a.png", "-o", tmp_path / "out", *words) == 0
    image = read_image(folder / "a.png")
    labels, embedding = predict(image), predict.outputs(image)["out"][0].numpy()
    assert np.array_equal(read_label(tmp_path / "out" / "a_instances.png"), labels)
    with h5py.File(tmp_path / "out" / "a_predictions.h5") as file:
        assert np.array_equal(file["raw"], image.transpose(2, 0, 1))
        assert np.allclose(file["embeddings1"], embedding, atol=0.01)
        assert dict(file.attrs) == {"delta_var": 0.5, "delta_dist": 1.25}


def test_a_folder_has_the_colours_of_its_first_embedding(
    model, predict, folder, tmp_path, monkeypatch
):
    fitted = []

    class Slow(PrincipalComponents):
        def __init__(self, maps):
            time.sleep(0.2)
            super().__init__(maps)
            fitted.append(self)

    monkeypatch.setattr("utils.writers.embeddings.PrincipalComponents", Slow)
    path = trained_for_objects(model, predict, tmp_path / "objects.pth")
    words = ("--save", "embeddings", "--threads", "2")
    assert infer(path, "-i", folder, "-o", tmp_path / "out", *words) == 0
    first, *others = fitted
    assert not others
    for name in ("a", "deep/c"):
        embedding = predict.outputs(read_image(folder / f"{name}.png"))["out"][0].numpy()
        picture = read_image(tmp_path / "out" / f"{name}_predictions_1.png")
        assert np.array_equal(picture, first.colors(embedding))


def test_a_folder_that_is_gone_on_with_keeps_its_colours(model, predict, folder, tmp_path):
    """The picture of a later image is what one run would have made of it."""
    path = trained_for_objects(model, predict, tmp_path / "objects.pth")
    words = ("-i", folder, "--save", "embeddings")
    assert infer(path, *words, "-o", tmp_path / "once") == 0
    assert infer(path, *words, "-o", tmp_path / "out") == 0
    gone = [p for p in (tmp_path / "out").rglob("*_predictions*") if p.stem[0] == "c"]
    assert len(gone) == 2
    for file in gone:
        file.unlink()
    assert infer(path, *words, "-o", tmp_path / "out", "--skip-existing") == 0
    picture = "deep/c_predictions_1.png"
    assert (tmp_path / "out" / picture).read_bytes() == (tmp_path / "once" / picture).read_bytes()
    (tmp_path / "out" / "embeddings1_colours.npz").write_bytes(b"damaged")
    for file in gone:
        file.unlink()
    assert infer(path, *words, "-o", tmp_path / "out", "--skip-existing") == 0
    assert (tmp_path / "out" / picture).read_bytes() != (tmp_path / "once" / picture).read_bytes()


def test_the_embedding_is_told_from_other_heads():
    maps = {name: torch.full((2, 4, 4), float(n)) for n, name in enumerate(("semantic", "e"))}
    maps["teacher_e"] = maps["e"] + 1
    task = Task(["a"], [[0, 0, 0]], "instance", scores=(), embedding="e")
    found = embeddings_of(Result(task, photo((4, 4, 3)), np.zeros((4, 4), int), maps))
    assert {name: each.max() for name, each in found.items()} == {
        "embeddings1": 1,
        "embeddings2": 2,
    }


def test_predictor_and_postprocessing_of_a_config(model, folder, tmp_path, capsys):
    """A file that extends the run's config; an option on the command line goes before it."""
    run_config = next(model.parent.glob("config.json"))
    small = {"type": "RemoveSmall", "args": {"min_size": 100000, "to": "disc"}}
    changes = {"predictor": {"type": "Sliding", "args": {"blend": "flat"}}, "postprocess": [small]}
    config = tmp_path / "predict.json"
    config.write_text(json.dumps({"extends": str(run_config), **changes}))
    words = ("-i", folder / "a.png", "-o", tmp_path / "out", "-c")
    assert infer(model, *words, config) == 0
    assert (read_label(tmp_path / "out" / "a.png") == 1).all()
    argv = ["-m", str(model), "-i", str(folder), "-c", str(config), "--window", "64"]
    sections = inference.load_as_asked(inference.parse(argv)).sections
    args = {"blend": "flat", "window": 64}
    assert sections["predictor"] == {"type": "Sliding", "args": args}
    assert sections["postprocess"] == [small]
    capsys.readouterr()
    assert infer(model, *words, tmp_path / "gone.json", "--overwrite") == 2
    assert "gone.json cannot be read: No such file" in capsys.readouterr().err
    config.write_text(
        json.dumps({"extends": str(run_config), "metric": {"type": "InstanceScores"}})
    )
    assert infer(model, *words, config, "--overwrite") == 2
    assert "is for instance labels, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "because"),
    [
        ("--save ids --mode sliding", ""),
        ("--save ids --mode whole", "for the predictor Whole (not for Sliding alone)."),
        ("--save ids --mode sliding --flip", "for the predictor MultiScale"),
        ("--save ids --mode sliding --postprocess SmoothBoundary", "for --postprocess."),
        ("--save ids confidence --mode sliding", "for --save confidence."),
    ],
)
def test_large_scores_are_warned_of(model, folder, tmp_path, monkeypatch, capsys, words, because):
    """Once, with what needs them; nothing is refused."""
    monkeypatch.setattr(inference, "LARGE", 4 * 4 * 45 * 70 / 1e9 - 1e-9)
    shutil.copy(folder / "a.png", folder / "d.png")
    argv = ("-i", folder / "a.png", folder / "d.png", "-o", tmp_path / "out", *words.split())
    assert infer(model, *argv) == 0
    said = capsys.readouterr()
    assert (said.out + said.err).count("image of 70x45 take 0.0 GB") == (1 if because else 0)
    assert because in said.out + said.err


def test_postprocessing_on_the_command_line(model, predict, folder, tmp_path):
    words = ("--postprocess", "RemoveSmall", "min_size=100000", "to=disc")
    assert infer(model, "-i", folder / "a.png", "-o", tmp_path / "out", *words) == 0
    assert (read_label(tmp_path / "out" / "a.png") == 1).all()


# ---------------------------------------------------------------- what is there already


def test_a_folder_with_results_asks_what_to_do(model, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert infer(model, "-i", folder, "-o", out, "--save", "ids") == 0
    assert infer(model, "-i", folder, "-o", out, "--save", "ids") == 2
    message = capsys.readouterr().err
    assert "is not empty" in message and "--overwrite" in message and "--skip-existing" in message
    (out / "a_ids.png").write_bytes(b"kept")
    (out / "b_ids.png").unlink()
    assert infer(model, "-i", folder, "-o", out, "--save", "ids", "--skip-existing") == 0
    assert (out / "a_ids.png").read_bytes() == b"kept" and (out / "b_ids.png").is_file()
    assert infer(model, "-i", folder, "-o", out, "--save", "ids", "--overwrite") == 0
    assert read_label(out / "a_ids.png").shape == (45, 70)


def test_nothing_is_half_written(tmp_path, monkeypatch):
    """A stop in the middle of a PNG leaves none of its name, so --skip-existing makes it again."""
    monkeypatch.setattr(Image.Image, "save", lambda *_, **__: sys.exit("stopped"))
    with pytest.raises(SystemExit):
        write_png(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--save cityscapes", "the class 'disc' is none of Cityscapes'"),
        ("--save ade20k", "150 classes are wanted; this model was trained on 4"),
        ("--save kitti_road", "no class is called 'road'"),
        ("--save instances", "this model labels classes, not objects"),
        ("--save embeddings", "this model labels classes"),
        ("--mode whole --window 64", "--window and --overlap go with --mode sliding"),
        ("--postprocess RemoveSmal", "did you mean 'RemoveSmall'?"),
        ('--postprocess KeepLargest classes=["disk"]', "no class 'disk'; did you mean 'disc'?"),
        ("--postprocess RemoveSmall min_size=3 to=99", "to is 99; the classes are 0 to 3"),
    ],
)
def test_refused_before_anything_is_written(model, folder, tmp_path, capsys, words, says):
    assert infer(model, "-i", folder, "-o", tmp_path / "out", *words.split()) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("list.txt", "a.png\ngone.png\n", "lists"),
        ("list.txt", "", "the list is empty"),
        ("clip.mp4", "no video", "is not a video that can be read"),
    ],
)
def test_sources_refused(model, folder, tmp_path, capsys, name, content, says):
    (folder / name).write_text(content)
    assert infer(model, "-i", folder / name, "-o", tmp_path / "out") == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("places", "says"),
    [
        (("clip.mp4", "other.avi"), "clip.mp4 is a video; a video is given alone, by its path"),
        (("a.png", "clip.mp4"), "clip.mp4 is a video; a video is given alone"),
        (("*.mp4",), "clip.mp4 is a video; a video is given alone"),
        (("videos",), "no image with .png"),
        (("videos",), "clip.mp4 is a video: a video is given alone, by its path"),
    ],
)
def test_videos_beside_others(tmp_path, places, says):
    for name in ("a.png", "clip.mp4", "other.avi", "videos/clip.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=re.escape(says)):
        find_source([tmp_path / place for place in places])


@pytest.mark.parametrize(
    ("place", "title"), [("clip.v2", "clip.v2"), ("clip.v2/*.png", "clip.v2"), ("list.txt", "list")]
)
def test_a_video_of_images_is_called_like_their_folder(tmp_path, place, title):
    write_png(tmp_path / "clip.v2" / "1.png", photo((4, 4, 3)))
    (tmp_path / "list.txt").write_text("clip.v2/1.png\n")
    assert find_source([tmp_path / place]).title == title


def test_an_extension_of_a_file_is_refused(model, folder, tmp_path, capsys):
    assert infer(model, "-i", folder / "a.png", "-e", "jpg", "-o", tmp_path / "out") == 2
    assert "--extension jpg chooses among the images of folders" in capsys.readouterr().err


def test_two_images_of_one_name(model, folder, tmp_path, capsys):
    shutil.copy(folder / "a.png", folder / "a.bmp")
    assert infer(model, "-i", folder, "-o", tmp_path / "out") == 2
    assert "would both be written to a.png" in capsys.readouterr().err


def test_results_of_two_images_in_one_place(model, folder, tmp_path, capsys):
    """The ids of a, and what is written with colours of an image that is called so."""
    shutil.copy(folder / "a.png", folder / "a_ids.png")
    assert infer(model, "-i", folder, "-o", tmp_path / "out") == 2
    assert "a_ids.png would be a result of a and of a_ids" in capsys.readouterr().err
    assert infer(model, "-i", folder, "-o", tmp_path / "out", "--save", "palette") == 0


@pytest.mark.parametrize("place", ["", "**/*.png"])
def test_results_inside_the_folder_of_images_are_not_read(model, folder, place):
    """Neither the second nor the third time."""
    words = ("-i", folder / place, "-o", folder / "outputs", "--save", "ids", "palette")
    for more in ((), ("--skip-existing",), ("--overwrite",)):
        assert infer(model, *words, *more) == 0
        names = {f"{n}{e}.png" for n in ("a", "b", "deep/c") for e in ("", "_ids")}
        assert files(folder / "outputs") == names


def test_results_are_kept_or_replaced(model, folder, tmp_path, capsys):
    words = ("-i", folder, "-o", tmp_path / "out", "--skip-existing", "--overwrite")
    assert infer(model, *words) == 2
    assert "--skip-existing keeps results, --overwrite replaces them" in capsys.readouterr().err


def test_an_image_is_not_written_over(model, folder, capsys):
    assert infer(model, "-i", folder / "a.png", "-o", folder, "--overwrite") == 2
    assert "would be written over" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["", "*.png"])
def test_results_do_not_go_among_the_images(place, model, folder, capsys):
    """Where the next call would predict them."""
    before = files(folder)
    assert infer(model, "-i", folder / place, "-o", folder, "--save", "overlay") == 2
    assert "is the folder of the images, where results would be predic" in capsys.readouterr().err
    assert files(folder) == before


def test_a_model_without_weights(model, folder, tmp_path, capsys):
    state = torch.load(model)
    del state["state_dict"]
    torch.save(state, tmp_path / "bare.pth")
    assert infer(tmp_path / "bare.pth", "-i", folder, "-o", tmp_path / "out") == 2
    assert "has no state_dict" in capsys.readouterr().err


SPOILT = {
    "no such key": lambda state: state.update(config={}),
    "no architecture": lambda state: state.update(arch=None),
    "normalization": lambda state: state.update(normalization=[1, 2]),
    "moving average": lambda state: state.update(ema={"x": 1}),
    "weights": lambda state: state["state_dict"].update(dict.fromkeys(state["state_dict"], 1)),
    "metric": lambda state: state["config"].update(metric=None),
    "classes": lambda state: state.update(classes=3),
    "palette": lambda state: state.update(palette=[[0, 0, 0]]),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_model_with_a_damaged_part(what, model, folder, tmp_path, capsys):
    state = torch.load(model)
    state["ema"] = None
    SPOILT[what](state)
    torch.save(state, tmp_path / "spoilt.pth")
    assert infer(tmp_path / "spoilt.pth", "-i", folder, "-o", tmp_path / "out") == 2
    assert "a part of it is not as expected" in capsys.readouterr().err


def test_a_folder_for_a_model(model, folder, tmp_path, capsys):
    assert infer(tmp_path, "-i", folder, "-o", tmp_path / "out") == 2
    assert "is a folder; name a file in it, such as" in capsys.readouterr().err


def test_hidden_files_are_no_images(tmp_path):
    for name in ("a.png", "._a.png"):
        (tmp_path / name).write_bytes(b"")
    assert expand(tmp_path) == [(tmp_path, tmp_path / "a.png")]


@pytest.mark.parametrize("name", ["b.png", os.fsdecode(b"caf\xe9.png")])
def test_a_picture_is_written_as_it_is(tmp_path, name):
    image = photo((20, 30, 3))
    write_picture(tmp_path / "a" / name, image.copy())
    assert np.array_equal(read_image(tmp_path / "a" / name), image)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("-o gone/rows.json", "--output gone/rows.json: there is no folder gone"),
        ("-o .", "--output . is a folder; name a JSON file"),
        ("--sizes 64,96,32", "'64,96,32' is no size; give N or H,W with spaces between"),
        ("--sizes 64,96 32", "was exported for 64,96 alone; leave --sizes out, or export it"),
    ],
)
def test_the_benchmark_refuses(model, monkeypatch, capsys, words, says):
    """Before anything is measured."""
    predict = inference.load(model)
    predict.fixed_size = [64, 96]
    monkeypatch.setattr(benchmark, "load", lambda *_: predict)
    monkeypatch.setattr(benchmark, "milliseconds", None)
    try:
        argv = ["-d", "cpu", "-m", str(model), *words.split()]
        code = run(lambda: benchmark.main(benchmark.parse(argv)))
    except SystemExit as stop:  # argparse's own
        code = stop.code
    assert code == 2 and says in capsys.readouterr().err


def test_the_benchmark_has_a_row_for_each_combination(model, tmp_path, capsys):
    words = ["-d", "cpu", "-m", str(model), "--sizes", "32", "32,48", "--batches", "1", "2"]
    words += ["--rounds", "2", "--warm-up", "1", "-o", str(tmp_path / "rows.json")]
    assert run(lambda: benchmark.main(benchmark.parse(words))) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len(rows) == 2 * 2 * 2 and {row["size"] for row in rows} == {"32x32", "32x48"}
    for row in rows:
        assert 0 < row["p10_ms"] <= row["median_ms"] <= row["p90_ms"]
        rate = 1000 * row["batch"] / row["median_ms"]
        assert row["images_per_second"] == pytest.approx(rate)
    assert "median" in capsys.readouterr().out
