"""cluster.py and the prediction files it works on."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import cluster
from base.base_metric import METRICS, BaseMetric
from dataloaders.label_files import read_foreground, read_truth
from utils import embeddings_file
from utils.command import run
from utils.embeddings_file import add_datasets, read_dataset, read_told, write_embeddings
from utils.errors import UserError
from utils.image_io import write_png

ROOT = Path(__file__).parent.parent
STEMS = ("plant001_rgb", "plant002_rgb", "plant003_rgb")


class CountObjects(BaseMetric):
    """Stands for InstanceScores: the difference in count, and its share of foreground."""

    def __init__(self, num_classes: int, ignore_index: int):
        self.reset()

    def reset(self) -> None:
        self.differences: list[float] = []

    def update(self, labels, target, outputs=None, meta=None) -> None:
        self.differences.append(abs(int(labels.max()) - int(target.max())))

    def compute(self) -> dict[str, float]:
        return {"DiC": float(np.mean(self.differences)), "Images": float(len(self.differences))}


def example(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An embedding (3, 40, 48) float32 and its two objects (40, 48)."""
    truth = np.zeros((40, 48), np.uint8)
    truth[4:16, 5:17], truth[22:32, 25:35] = 1, 2
    embedding = 3 * np.eye(3, dtype=np.float32)[truth].transpose(2, 0, 1)
    noise = np.random.default_rng(seed).normal(0, 0.05, embedding.shape)
    return embedding + noise.astype(np.float32), truth


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three predictions in `emb`, their truth in `gt/A1`, semantic maps in `sem`."""
    for seed, stem in enumerate(STEMS):
        embedding, truth = example(seed)
        raw = np.full((40, 48, 3), seed, np.uint8)
        both = {"embeddings1": embedding, "embeddings2": embedding}
        write_embeddings(tmp_path / "emb" / f"{stem}_predictions.h5", raw, both)
        write_png(tmp_path / "gt" / "A1" / f"{stem[:8]}_label.png", truth, [[0] * 3, [9] * 3])
        write_png(tmp_path / "sem" / f"{stem}_ids.png", (truth == 1).astype(np.uint8))
    return tmp_path


def call(folder: Path, *words: str) -> int:
    words = ("--emb-dir", str(folder / "emb"), "-d", "cpu", "--num-workers", "1", *words)
    return run(lambda: cluster.main(cluster.parse(list(words))))


def first(folder: Path, name: str = "segmentation") -> np.ndarray:
    return read_dataset(folder / "emb" / f"{STEMS[0]}_predictions.h5", name)


def test_distances_of_the_loss_are_taken(folder):
    """The two objects are 3 sqrt(2) apart: one for whoever joins up to 5, unless told otherwise."""
    embedding, truth = example()
    path = folder / "emb" / f"{STEMS[0]}_predictions.h5"
    raw = np.zeros((40, 48, 3), np.uint8)
    told = {"delta_var": 0.5, "delta_dist": 5.0}
    write_embeddings(path, raw, {"embeddings1": embedding}, semantic=truth, told=told)
    assert call(folder, "--clustering", "msplus") == 0
    assert np.array_equal(first(folder), truth > 0)
    words = ("--clustering", "msplus", "--delta-dist", "2", "--output-dataset", "again")
    assert call(folder, *words) == 0  # on the file that the first call has written anew
    assert np.array_equal(first(folder, "again"), truth)
    assert read_told(path) == told


@pytest.mark.parametrize("algorithm", list(cluster.LABELER_NAMES))
def test_every_algorithm(folder, algorithm):
    assert call(folder, "--clustering", algorithm) == 0
    found = first(folder)
    assert found.dtype == np.uint16 and np.array_equal(found, example()[1])
    with h5py.File(folder / "emb" / f"{STEMS[0]}_predictions.h5") as file:
        assert set(file) == {"raw", "embeddings1", "embeddings2", "segmentation"}
        assert file["segmentation"].compression == "gzip"


def test_again_replaces_and_other_names_stay(folder):
    assert call(folder, "--clustering", "ms", "--no-remove-largest") == 0
    assert first(folder).min() == 1
    assert call(folder, "--clustering", "ms", "--output-dataset", "other") == 0
    assert call(folder, "--clustering", "ms") == 0
    assert first(folder).min() == 0 and np.array_equal(first(folder), first(folder, "other"))


def test_as_a_command_in_two_processes(folder):
    words = ["cluster.py", "--emb-dir", str(folder / "emb"), "--clustering", "ms"]
    done = subprocess.run(
        [sys.executable, *words, "--num-workers", "2", "-d", "cpu"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "/segmentation of 3 of 3 files" in done.stderr + done.stdout
    assert np.array_equal(first(folder), example()[1])


def test_scores_and_truth(folder, monkeypatch, caplog):
    monkeypatch.setitem(METRICS._classes, "InstanceScores", CountObjects)
    words = ("--clustering", "ms", "--ds-name", "cvppp", "--gt-dir", str(folder / "gt"), "--score")
    assert call(folder, *words) == 0
    assert np.array_equal(first(folder, "gt"), example()[1])
    with open(folder / "emb" / "segmentation_scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [*STEMS, "all"]
    assert rows[-1] == {"file": "all", "DiC": "0.0", "Images": "3.0"}
    assert call(folder, *words, "--gt-foreground") == 0
    assert np.array_equal(first(folder), example()[1])
    text = (folder / "emb" / "segmentation_scores.csv").read_text()
    assert "inside the foreground of the ground truth" in text


def test_the_truths_foreground_counts_where_it_is_asked_for(folder):
    """One of two objects is unknown to the truth: found without it, and not with it."""
    truth = np.where(example()[1] == 1, 1, 0).astype(np.uint8)
    write_png(folder / "gt" / "A1" / "plant001_label.png", truth, [[0] * 3, [9] * 3])
    words = ("--clustering", "ms", "--ds-name", "cvppp", "--gt-dir", str(folder / "gt"))
    assert call(folder, *words) == 0
    assert np.array_equal(first(folder), example()[1])
    assert call(folder, *words, "--gt-foreground") == 0
    assert np.array_equal(first(folder), truth)


def test_semantic_masks(folder):
    assert call(folder, "--clustering", "ms", "--sem-dir", str(folder / "sem")) == 0
    assert np.array_equal(first(folder), (example()[1] == 1).astype(np.uint16))
    words = ("--sem-dir", str(folder / "sem"), "--things-class", "0", "--no-remove-largest")
    assert call(folder, "--clustering", "ms", *words) == 0
    assert np.array_equal(first(folder) > 0, example()[1] != 1)


def test_masks_without_a_pixel_of_the_class_are_told(folder, capsys):
    words = ("--clustering", "ms", "--sem-dir", str(folder / "sem"), "--things-class")
    assert call(folder, *words, "7") == 0
    assert "no pixel of 7 in any of the 3 masks" in capsys.readouterr().out
    one = np.full((40, 48), 7, np.uint8)
    write_png(folder / "sem" / f"{STEMS[1]}_ids.png", one)  # one image of the class is enough
    assert call(folder, *words, "7") == 0
    assert "no pixel" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, message",
    [
        (["--score"], "--score needs --gt-dir"),
        (["--gt-foreground"], "--gt-foreground needs --gt-dir"),
        (["--gt-dir", "nowhere"], "--gt-dir nowhere: there is no such folder"),
        (
            ["--sem-dir", "gt"],
            "3 of 3 files missing:\n  plant001_rgb_ids.png or plant001_rgb.png\n  plant002",
        ),
        (["--things-class", "cow"], "--things-class cow: known are person, rider, car"),
        (["--output-dataset", ""], '--output-dataset "": a name is needed, without a slash'),
        (["--output-dataset", "."], '--output-dataset ".": a name is needed'),
        (["--output-dataset", "embeddings1/x"], '"embeddings1/x": a name is needed, without'),
        (["--things-class", "²"], "--things-class ²: known are person, rider, car"),
        (["--output-dataset", "raw"], "--output-dataset raw would replace what is predicted"),
        (["--things-class", "car"], "--things-class car is read from label files; give --sem-dir"),
        (
            ["--ds-name", "cvppp", "--gt-dir", "gt", "--things-class", "car"],
            "--things-class car with --ds-name cvppp: the leaves of CVPPP have no classes",
        ),
        (["--delta-var", "1", "--set", "delta_var=2"], "--set delta_var=2 and --delta-var: give"),
        (["--set", "bandwith=1"], "unknown key 'bandwith'; did you mean 'bandwidth'"),
        (["--set", "bandwidth=wide"], 'args.bandwidth: "wide" is not a number'),
        (["--set", "bandwidth=-1"], "bandwidth is -1; it must be above 0"),
        (["--set", "bandwidth"], "--set bandwidth: write it as key"),
        (["--set", "output=aux"], 'there is no output "aux" in the files, but out, teacher'),
        (["--delta-var", "nan"], "delta_var is nan; a finite number is needed"),
        (["--num-workers", "0"], "--num-workers 0: one process is the least"),
        (["--min-size", "-3"], "min_size is -3; it must not be negative"),
        (["--emb-dir", "gt"], "--emb-dir gt: no .h5 file in it; inference.py --save embeddings"),
        (["--emb-dir", "nowhere"], "--emb-dir nowhere: there is no such folder"),
    ],
)
def test_what_the_user_can_mend(folder, monkeypatch, capsys, words, message):
    monkeypatch.chdir(folder)
    assert call(folder, "--clustering", "ms", *words) == 2
    assert message in capsys.readouterr().err


def test_the_moving_average_alone(folder):
    assert call(folder, "--clustering", "ms") == 0
    found = first(folder)
    assert call(folder, "--clustering", "ms", "--set", "output=teacher") == 0
    assert np.array_equal(first(folder), found)  # both embeddings of a file are the same here


def test_one_network_only(folder, capsys):
    path = folder / "emb" / "a_predictions.h5"
    write_embeddings(path, np.zeros((40, 48, 3), np.uint8), {"embeddings1": example()[0]})
    assert call(folder, "--clustering", "consistency") == 2
    error = capsys.readouterr().err
    assert "a_predictions.h5 has no data set 'embeddings2'; it holds embeddings1, raw" in error
    assert "Consistency needs it: inference.py --save embeddings writes it for models of" in error
    assert first(folder).any()  # the others are done


def test_folders_below(tmp_path, capsys):
    """Predictions of one name in two folders have a truth each; what lies deeper is another's."""
    embedding, truth = example()
    both = {"A1": truth, "A2": (truth == 1).astype(np.uint8), "A1/car/1.0": truth * 0}
    for place, label in both.items():
        write_png(tmp_path / "gt" / place / "plant001_label.png", label)
    for place in ("A1", "A2"):
        path = tmp_path / "emb" / place / "plant001_rgb_predictions.h5"
        write_embeddings(path, np.zeros((40, 48, 3), np.uint8), {"embeddings1": embedding})
    words = ("--ds-name", "cvppp", "--gt-dir", str(tmp_path / "gt"), "--score")
    assert call(tmp_path, "--clustering", "ms", *words) == 0
    for place in ("A1", "A2"):
        path = tmp_path / "emb" / place / "plant001_rgb_predictions.h5"
        assert np.array_equal(read_dataset(path, "gt"), both[place])
    with open(tmp_path / "emb" / "segmentation_scores.csv", newline="") as file:
        rows = {row["file"]: float(row["DiC"]) for row in csv.DictReader(file)}
    assert rows == {"A1/plant001_rgb": 0, "A2/plant001_rgb": 1, "all": 0.5}


def test_the_least_deep_truth_counts(folder):
    """Samples that tools/sample_instances.py writes beside the official files are not the truth."""
    for stem in STEMS:
        write_png(folder / "gt" / "A1" / "a" / f"{stem[:8]}_label.png", np.zeros((40, 48), "u1"))
    words = ("--ds-name", "cvppp", "--gt-dir", str(folder / "gt"))
    assert call(folder, "--clustering", "ms", *words) == 0
    assert np.array_equal(first(folder, "gt"), example()[1])


def test_a_damaged_file_is_named(folder, capsys):
    path = folder / "emb" / f"{STEMS[1]}_predictions.h5"
    with h5py.File(path) as file:
        place = file["embeddings1"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place : place + 64] = bytes(64)
    path.write_bytes(content)
    assert call(folder, "--clustering", "ms") == 2
    assert f"{path} is not an HDF5 file that can be read" in capsys.readouterr().err
    assert first(folder).any()  # the others are done


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("embeddings1", None, "is a group; a data set of numbers is needed"),
        ("embeddings1", np.ones((4, 5)), "has the shape (4, 5); (E, H, W) is needed"),
        ("embeddings1", np.ones((1, 3, 4, 5)), "has the shape (1, 3, 4, 5); (E, H, W) is needed"),
        ("embeddings1", 1.0, "has the shape (); (E, H, W) is needed"),
        ("embeddings1", b"text", "holds object of the shape (); a map of numbers"),
        ("embeddings1", np.array([b"a", b"b"]), "holds |S1 of the shape (2,); a map of numbers"),
        ("embeddings1", np.ones((3, 0, 0)), "holds float64 of the shape (3, 0, 0); a map of"),
        ("embeddings1", np.ones((3, 4), complex), "holds complex128 of the shape (3, 4); a map"),
        ("semantic", None, "is a group"),
        ("semantic", np.ones((1, 40, 48)), "has the shape (1, 40, 48); (H, W) is needed"),
        ("semantic", np.ones((4, 5)), "is 4x5, the embedding 40x48"),
    ],
)
def test_a_malformed_file_is_named(folder, capsys, name, content, message):
    """The others are clustered and scored."""
    path = folder / "emb" / f"{STEMS[1]}_predictions.h5"
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        if content is None:
            file.create_group(name)
        else:
            file[name] = content
    words = ("--ds-name", "cvppp", "--gt-dir", str(folder / "gt"), "--score")
    assert call(folder, "--clustering", "ms", *words) == 2
    error = capsys.readouterr().err
    assert f"these files could not be clustered:\n  {STEMS[1]}: {path}: /{name} {message}" in error
    assert first(folder).any()
    text = (folder / "emb" / "segmentation_scores.csv").read_text()
    assert STEMS[0] in text and STEMS[1] not in text


@pytest.mark.parametrize("value", ["abc", [1.0, 2.0]])
def test_a_distance_that_is_no_number(folder, capsys, value):
    path = folder / "emb" / f"{STEMS[1]}_predictions.h5"
    with h5py.File(path, "a") as file:
        file.attrs["delta_var"] = value
    assert call(folder, "--clustering", "ms") == 2
    assert f"{path}: its attribute delta_var is " in capsys.readouterr().err
    assert first(folder).any()


def test_other_arguments_of_the_labeler(folder):
    """A bandwidth beyond all distances makes one cluster, which is no background here."""
    words = ("--clustering", "ms", "--set", "bandwidth=9", "--set", "remove_largest=false")
    assert call(folder, *words) == 0
    assert (first(folder) == 1).all()


def test_told_distances_count_before_any_file_is_touched(folder):
    """By itself msplus would join from 2.0 on, which is below this radius."""
    for stem in STEMS:
        with h5py.File(folder / "emb" / f"{stem}_predictions.h5", "a") as file:
            file.attrs["delta_dist"] = 6.0
    assert call(folder, "--clustering", "msplus", "--delta-var", "2.5") == 0


def test_notes_on_what_has_no_effect(folder, caplog):
    assert call(folder, "--clustering", "ms", "--ds-name", "cvppp") == 0
    assert "note: --ds-name says how label files are read, and there is no" in caplog.text
    assert "no pixel of" not in caplog.text
    words = ("--clustering", "ms", "--sem-dir", str(folder / "sem"), "--things-class", "99")
    assert call(folder, *words) == 0
    told = "no pixel of 99 in any of the 3 masks"
    assert told in caplog.text and not first(folder).any()


def test_a_mask_of_another_size(folder, capsys):
    write_png(folder / "sem" / f"{STEMS[1]}_ids.png", np.ones((20, 24), np.uint8))
    assert call(folder, "--clustering", "ms", "--sem-dir", str(folder / "sem")) == 2
    assert "plant002_rgb_ids.png is 20x24, the embedding 40x48" in capsys.readouterr().err


def test_not_a_number(folder, capsys):
    embedding = example()[0]
    embedding[0, 0, 0] = np.nan
    path = folder / "emb" / f"{STEMS[2]}_predictions.h5"
    write_embeddings(path, np.zeros((40, 48, 3), np.uint8), {"embeddings1": embedding})
    assert call(folder, "--clustering", "ms") == 2
    error = capsys.readouterr().err
    assert f'{STEMS[2]}: the output "out" is not a finite number at 1 pixels' in error


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a_predictions.h5"
    write_embeddings(path, np.zeros((8, 9, 3), np.uint8), {"embeddings1": np.ones((2, 8, 9))})
    before = path.read_bytes()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(embeddings_file, "store", stop)
    with pytest.raises(KeyboardInterrupt):
        add_datasets(path, {"segmentation": np.ones((8, 9), np.uint16)})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_precision_and_layout(tmp_path):
    path = tmp_path / "deep" / "a_predictions.h5"
    small, large = np.full((2, 300, 150), 1.23456, np.float32), np.full((2, 5, 6), 64.0)
    raw = np.zeros((300, 150, 3), np.uint8)
    write_embeddings(path, raw, {"embeddings1": small, "embeddings2": large})
    assert read_dataset(path, "raw").shape == (3, 300, 150)
    assert read_dataset(path, "embeddings1").dtype == np.float16
    assert read_dataset(path, "embeddings2").dtype == np.float32
    with h5py.File(path) as file:
        assert file["embeddings1"].chunks == (2, 128, 128)


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="is not there; inference.py writes such files"):
        read_dataset(tmp_path / "a.h5", "raw")
    (tmp_path / "a.h5").write_text("no")
    with pytest.raises(UserError, match="is not an HDF5 file that can be read"):
        read_dataset(tmp_path / "a.h5", "raw")


def test_cityscapes_truth_and_masks(tmp_path):
    ids = np.array([[26000, 26012, 26], [24001, 7, 0]], np.uint16)
    truth = tmp_path / "a_gtFine_instanceIds.png"
    write_png(truth, ids)
    for asked in ("car", "13", "26"):  # the number in either counting
        assert read_truth(truth, asked).tolist() == [[26000, 26012, -1], [0, 0, 0]]
    everything = read_truth(truth, None)
    assert everything.tolist() == [[26000, 26012, -1], [24001, 0, 0]]
    colours = np.array([[[0, 0, 142], [0, 0, 70], [70, 70, 2]]], np.uint8)
    with pytest.raises(UserError, match="objects of Cityscapes; --things-class is 5, but must be"):
        read_truth(truth, "5")
    write_png(tmp_path / "b.png", colours)
    with pytest.raises(UserError, match=r"b.png holds 1 colours .* Cityscapes': \(70, 70, 2\); g"):
        read_foreground(tmp_path / "b.png", None, "car")
    colours[0, 2] = [70, 70, 70]
    write_png(tmp_path / "b.png", colours)
    assert read_foreground(tmp_path / "b.png", None, "car").tolist() == [[True, False, False]]
    assert read_foreground(tmp_path / "b.png", None, "13").tolist() == [[True, False, False]]
    assert read_foreground(tmp_path / "b.png", None, None).tolist() == [[True, True, False]]
    with pytest.raises(UserError, match="holds colours, which are read as those of Cityscapes"):
        read_foreground(tmp_path / "b.png", None, "3")
    write_png(tmp_path / "c.png", np.array([[13, 0, 255, 14]], np.uint8))
    assert read_foreground(tmp_path / "c.png", None, "car").tolist() == [
        [True, False, False, False]
    ]
    assert read_foreground(tmp_path / "c.png", None, None).tolist() == [[True, False, False, True]]
    write_png(tmp_path / "d.png", np.array([[2, 11, 18, 0, 255]], np.uint8))  # building, things
    things = read_foreground(tmp_path / "d.png", "cityscapes", None)
    assert things.tolist() == [[False, True, True, False, False]]
    write_png(tmp_path / "e.png", np.array([[26, 7, 255]], np.uint8))  # labelIds
    for asked in (("cityscapes", None), (None, "car")):
        with pytest.raises(UserError, match="e.png holds ids up to 26, and must hold Cityscapes'"):
            read_foreground(tmp_path / "e.png", *asked)
    assert read_foreground(tmp_path / "e.png", None, "26").tolist() == [[True, False, False]]


@pytest.mark.parametrize("words", [(), ("--ds-name", "cityscapes")])
def test_cityscapes_truth_is_known_by_its_name(words, tmp_path):
    """Groups are ignored and buildings are no objects, whether --ds-name says so or not."""
    embedding, truth = example()
    path = tmp_path / "emb" / "ulm_leftImg8bit_predictions.h5"
    write_embeddings(path, np.zeros((40, 48, 3), np.uint8), {"embeddings1": embedding})
    ids = np.array([11, 26001, 26], np.uint16)[truth]
    write_png(tmp_path / "gt" / "ulm_gtFine_instanceIds.png", ids)
    assert call(tmp_path, "--clustering", "ms", "--gt-dir", str(tmp_path / "gt"), *words) == 0
    assert np.array_equal(read_dataset(path, "gt"), np.array([0, 26001, -1])[truth])


def test_colours_of_a_truth_are_ids(tmp_path):
    write_png(tmp_path / "a.png", np.array([[[1, 2, 3], [0, 0, 0], [255, 255, 255]]], np.uint8))
    assert read_truth(tmp_path / "a.png", None).tolist() == [[66051, 0, 16777215]]


def test_real_leaves(real_data, tmp_path):
    """Embeddings made from the truth of a plant give its leaves back."""
    label = next((real_data / "cvppp" / "val" / "A1").glob("*_label.png"))
    truth = read_truth(label, None)
    centres = np.random.default_rng(0).normal(0, 2, (truth.max() + 1, 8)).astype(np.float32)
    stem = label.stem.replace("_label", "_rgb")
    path = tmp_path / "emb" / f"{stem}_predictions.h5"
    embedding = centres[truth].transpose(2, 0, 1)
    write_embeddings(path, np.zeros((*truth.shape, 3), np.uint8), {"embeddings1": embedding})
    words = ("--ds-name", "cvppp", "--gt-dir", str(real_data / "cvppp" / "val"))
    assert call(tmp_path, "--clustering", "ms", "--min-size", "5", *words) == 0
    found = torch.from_numpy(read_dataset(path, "segmentation").astype(np.int64))
    assert np.array_equal(read_dataset(path, "gt"), truth)
    assert found.max() >= truth.max() - 1
    assert ((found > 0).numpy() == (truth > 0)).mean() > 0.999
