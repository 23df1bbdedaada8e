"""SPOCO from the config to scores: train.py, inference.py and cluster.py, one after the other."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from instance_layouts import make_cvppp
from test_train import train_run

import cluster
import inference
from dataloaders import DATASETS
from utils import checkpoint
from utils.command import run
from utils.embeddings_file import read_dataset, read_told
from utils.errors import UserError

LOSS = {"embedding_dim": 4, "delta_var": 0.4, "delta_dist": 1.5}


@pytest.fixture
def sparse(tiny, tmp_path) -> dict:
    """A mean teacher on plants of which half of the leaves are annotated."""
    make_cvppp(make_cvppp(tmp_path / "data"), "val")
    loader = {"data_dir": str(tmp_path / "data"), "normalize": "image"}
    small = {"type": "UNet2D", "args": {"feature_maps": [8, 16]}}
    return tiny | {
        "arch": {"type": "MeanTeacher", "args": {"model": small}},
        "train_loader": {"type": "CVPPP", "args": loader | {"instance_ratio": 0.5}},
        "val_loader": {"type": "CVPPP", "args": loader | {"split": "val"}},
        "transforms": [
            {"type": "RandomResizedCrop", "args": {"size": 32}},
            {"type": "SecondView", "args": {"transforms": [{"type": "Grayscale"}]}},
        ],
        "loss": {"type": "Spoco", "args": LOSS},
        "trainer": tiny["trainer"] | {"type": "MeanTeacherTrainer", "monitor": "max SBD"},
        "n_gpu": 0,
    }


def call(command, *words) -> int:
    return run(lambda: command.main(command.parse([str(word) for word in words])))


def test_train_predict_cluster_score(sparse, tmp_path):
    model = train_run(sparse, tmp_path) / "last.pth"
    out, data = tmp_path / "out", tmp_path / "data" / "val"
    words = ("-i", f"{data}/A1/*_rgb.png", "--save", "embeddings", "-o", out, "-d", "cpu")
    assert call(inference, "-m", model, *words) == 0
    files = sorted(out.glob("*_predictions.h5"))
    assert len(files) == 3 and len([*out.glob("*.png")]) == 6  # a picture of either embedding
    ours, teachers = (read_dataset(files[0], f"embeddings{number}") for number in (1, 2))
    assert ours.shape == teachers.shape == (4, 40, 48) and not np.array_equal(ours, teachers)
    assert read_told(files[0]) == {"delta_var": 0.4, "delta_dist": 1.5}
    words = ("--gt-dir", data, "--ds-name", "cvppp", "--score", "-d", "cpu", "--num-workers", 1)
    assert call(cluster, "--emb-dir", out, "--clustering", "consistency", *words) == 0
    assert read_dataset(files[0], "segmentation").shape == (40, 48)
    assert np.array_equal(np.unique(read_dataset(files[0], "gt")), range(7))
    with open(out / "segmentation_scores.csv", newline="") as file:
        rows = {row["file"]: float(row["SBD"]) for row in csv.DictReader(file)}
    assert [*rows] == [*(f"plant00{number}_rgb" for number in range(3)), "all"]
    assert all(0 <= score <= 1 for score in rows.values())


def test_images_without_labels_train_by_consistency_alone(sparse, tmp_path):
    args = {"data_dir": str(tmp_path / "data"), "images": "train/*/*_rgb.png", "labels": None}
    sparse["train_loader"] = {"type": "FolderInstances", "args": args}
    sparse["loss"]["args"] = LOSS | {"consistency_only": True}
    sparse |= {"val_loader": None}
    sparse["trainer"] |= {"monitor": "off"}
    for label in tmp_path.glob("data/train/*/*_label.png"):
        label.unlink()
    state = checkpoint.load(train_run(sparse, tmp_path) / "last.pth")
    moved = [key for key, value in state["state_dict"].items() if key.endswith("weight")]
    student, teacher = (
        [state["state_dict"][key] for key in moved if key.startswith(part)]
        for part in ("student", "teacher")
    )
    assert not all(torch.equal(*pair) for pair in zip(student, teacher, strict=True))


@pytest.mark.parametrize("args", [{"target": "both"}, {"list": "train.txt"}])
def test_without_labels_there_is_one_target(args, tmp_path):
    args = {"data_dir": str(tmp_path), "labels": None, **args}
    with pytest.raises(UserError, match='labels is null, which needs "target": "instance" and no'):
        DATASETS.build({"type": "FolderInstances", "args": args})
