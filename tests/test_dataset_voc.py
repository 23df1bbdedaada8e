"""VOC: its lists, the labels of SBD, and the download from a server of this machine."""

from __future__ import annotations

import functools
import hashlib
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import layouts
import numpy as np
import pytest
from torchvision.datasets.voc import DATASET_YEAR_DICT

from dataloaders import DATASETS
from dataloaders.check import check_dataset
from dataloaders.files import noting_unpaired
from utils.errors import UserError
from utils.image_io import read_label


def voc(root, **args):
    return DATASETS.build({"type": "VOC", "args": {"data_dir": str(root), **args}})


@pytest.fixture
def root(tmp_path):
    layouts.voc(tmp_path / "voc")
    return tmp_path / "voc"


@pytest.mark.parametrize(
    "split, names",
    [
        ("train", ["2007_000032", "2007_000039"]),
        ("val", ["2007_000033"]),
        ("trainval", ["2007_000032", "2007_000039", "2007_000033"]),
        ("train_aug", ["2007_000032", "2007_000039"]),
        ("val_aug", ["2007_000033"]),
        ("trainval_aug", ["2007_000032", "2007_000039", "2007_000033"]),
    ],
)
def test_splits(split, names, root):
    data = voc(root, split=split)
    assert [entry.name for entry in data.entries] == names
    folder = "SegmentationClassAug" if split.endswith("_aug") else "SegmentationClass"
    assert {entry.label.parent.name for entry in data.entries} == {folder}


def test_labels_are_the_palette_indices_and_rims_are_ignored(root):
    data = voc(root)
    assert np.array_equal(data[0]["target"].numpy(), read_label(data.entries[0].label))
    assert set(data[0]["target"].unique().tolist()) == {0, 5, 20, 255}


def test_rims_are_ignored_with_another_number_too(root):
    data = voc(root, ignore_index=-1)
    assert set(data[0]["target"].unique().tolist()) == {-1, 0, 5, 20}
    check_dataset(data)


def test_test_has_no_labels(root):
    data = voc(root, split="test")
    assert data[0]["name"] == "2008_1" and "target" not in data[0]
    with pytest.raises(UserError, match="2008_1.jpg has no label: .* inference.py predicts it"):
        check_dataset(data)


def test_names_and_colours():
    classes = DATASETS["VOC"].classes
    assert len(classes) == 21 and classes[15] == "person"
    assert DATASETS["VOC"].palette[:4] == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]


@pytest.mark.parametrize("below", ["VOCdevkit", "VOCdevkit/VOC2012"])
def test_data_dir_may_be_a_folder_inside(root, below):
    assert len(voc(root / below)) == 2


def index(root, split):
    return root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / f"{split}.txt"


def refuse(root, *parts, **args):
    with pytest.raises(UserError) as error:
        voc(root, **args)
    assert all(str(part) in str(error.value) for part in parts), error.value


def test_missing_pieces(root):
    index(root, "train_aug").unlink()
    refuse(root, index(root, "train_aug"), "tools/prepare_voc_aug.py", split="train_aug")
    label = root / "VOCdevkit" / "VOC2012" / "SegmentationClass" / "2007_000039.png"
    label.unlink()
    refuse(root, index(root, "train"), "lists 2007_000039, but there is no file", label)
    index(root, "train").unlink()
    refuse(root, "there is no file", index(root, "train"))
    refuse(root / "VOCdevkit" / "VOC2012" / "JPEGImages", "there is no folder", "docs/datasets.md")


def test_all_that_is_missing_is_listed_at_once(root):
    folder = root / "VOCdevkit" / "VOC2012"
    (folder / "JPEGImages" / "2007_000032.jpg").unlink()
    (folder / "SegmentationClass" / "2007_000033.png").unlink()
    with noting_unpaired() as noted:
        data = voc(root, split="trainval")
    assert [entry.name for entry in data.entries] == ["2007_000039"]
    assert [text.rpartition("/")[2] for text in noted] == ["2007_000032.jpg", "2007_000033.png"]
    refuse(root, "lists 2007_000032", "lists 2007_000033", split="trainval")


def test_lines_that_are_no_pairs(root):
    index(root, "val").write_text("2007_000033 1\n")
    refuse(root, index(root, "val"), "'2007_000033 1'; a name is expected", split="val")
    index(root, "val_aug").write_text("2007_000033\n")
    refuse(root, "an image and a label path is expected", split="val_aug")
    index(root, "val").write_text("2007_000033\n\n2007_000033\n")
    refuse(root, "lists 2007_000033 twice", split="val")


# --- download -------------------------------------------------------------------------------------


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serve a folder's content as the archive that VOC downloads; gives the archive's path."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def offer(content, spoil=lambda data: data):
        path = tmp_path / "www" / "voc.tar"
        path.parent.mkdir(exist_ok=True)
        with tarfile.open(path, "w") as archive:
            archive.add(content, arcname=content.name)
        md5 = hashlib.md5(path.read_bytes()).hexdigest()
        path.write_bytes(spoil(path.read_bytes()))
        url = f"http://127.0.0.1:{server.server_port}/voc.tar"
        entry = {**DATASET_YEAR_DICT["2012"], "url": url, "md5": md5}
        monkeypatch.setitem(DATASET_YEAR_DICT, "2012", entry)
        return path

    yield offer
    server.shutdown()
    server.server_close()


def test_download(serve, root, tmp_path):
    archive = serve(root / "VOCdevkit")
    target = tmp_path / "data" / "pascal"
    assert len(voc(target, download=True)) == 2
    assert [p.name for p in target.iterdir()] == ["VOCdevkit"]
    assert [p.name for p in target.parent.iterdir()] == ["pascal"]
    archive.unlink()
    assert len(voc(target, split="val", download=True)) == 1  # it is there: nothing is fetched


def test_nothing_is_fetched_where_two_are_there(serve, root, tmp_path):
    serve(root / "VOCdevkit")
    target = tmp_path / "data"
    for name in ("a", "b"):
        (target / name / "VOC2012").mkdir(parents=True)
    refuse(target, "a/VOC2012 and", "b/VOC2012; set data_dir", download=True)
    assert sorted(path.name for path in target.iterdir()) == ["a", "b"]


def test_download_into_the_folder_below_the_data_root(serve, root, tmp_path, monkeypatch):
    """An empty folder there is the target, not one of the working directory."""
    serve(root / "VOCdevkit")
    (tmp_path / "data" / "pascal").mkdir(parents=True)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("SEGFORGE_DATA", str(tmp_path / "data"))
    assert len(voc("pascal", download=True)) == 2
    assert (tmp_path / "data" / "pascal" / "VOCdevkit" / "VOC2012").is_dir()
    assert not [*(tmp_path / "here").iterdir()]


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_file_is_no_place_to_download_into(below, root, tmp_path, monkeypatch):
    monkeypatch.setattr("dataloaders.download.download_and_extract_archive", None)
    (tmp_path / "file").write_text("")
    refuse(tmp_path / "file" / below, f"{tmp_path / 'file'} is a file, and no", download=True)


def test_download_beside_another_year(serve, root, tmp_path):
    serve(root / "VOCdevkit")
    target = tmp_path / "data"
    (target / "VOCdevkit" / "VOC2007").mkdir(parents=True)
    assert len(voc(target, download=True)) == 2
    assert sorted(p.name for p in (target / "VOCdevkit").iterdir()) == ["VOC2007", "VOC2012"]


def test_of_several_that_download_one_does(serve, root, tmp_path, monkeypatch, caplog):
    serve(root / "VOCdevkit")
    answer = SimpleHTTPRequestHandler.do_GET

    def slowly(self):
        time.sleep(0.5)
        answer(self)

    monkeypatch.setattr(SimpleHTTPRequestHandler, "do_GET", slowly)
    target = tmp_path / "data"
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: len(voc(target, download=True)), range(3)))
    assert found == [2, 2, 2] and caplog.text.count("downloading") == 1
    assert [p.name for p in target.iterdir()] == ["VOCdevkit"]
    assert not [*tmp_path.glob(".*")]


def truncated(data):
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    "spoil, says", [(truncated, "corrupted"), (lambda _: b"no tar", "corrupted")]
)
def test_a_broken_archive_leaves_nothing_behind(spoil, says, serve, root, tmp_path):
    serve(root / "VOCdevkit", spoil)
    before = sorted(tmp_path.rglob("*"))
    refuse(tmp_path / "new" / "data", "voc.tar", says, "nothing was written", download=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_wrong_archive_leaves_nothing_behind(serve, root, tmp_path):
    serve(root / "VOCdevkit" / "VOC2012" / "JPEGImages")
    before = sorted(tmp_path.rglob("*"))
    refuse(tmp_path / "new", "holds no folder VOCdevkit/VOC2012", download=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_that_is_no_tar(serve, root, tmp_path, monkeypatch):
    path = serve(root / "VOCdevkit")
    path.write_bytes(b"no tar at all" * 99)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(DATASET_YEAR_DICT, "2012", {**DATASET_YEAR_DICT["2012"], "md5": md5})
    refuse(tmp_path / "new", "could not be downloaded", "unpack it in", download=True)
    assert not (tmp_path / "new").exists()


def test_no_server(serve, root, tmp_path):
    serve(root / "VOCdevkit").unlink()
    refuse(tmp_path / "new", "could not be downloaded", "404", download=True)
    assert not (tmp_path / "new").exists()


# --- real samples ---------------------------------------------------------------------------------


def test_real_samples(real_data):
    root = real_data / "voc_mini"
    assert {s: len(voc(root, split=s)) for s in ("train", "val", "trainval")} == {
        "train": 2,
        "val": 1,
        "trainval": 3,
    }
    item = voc(root)[0]
    assert item["image"].shape == (3, 338, 500)
    assert item["target"].unique().tolist() == [0, 5, 15, 255]  # bottle and person
