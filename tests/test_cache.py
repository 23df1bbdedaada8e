"""Cached samples: the same as those read, safe to share, made again when a file changes."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dataloaders import make_dataset, make_loader
from dataloaders.combine import Combined
from utils import cache, image_io
from utils.cache import CacheError, SampleCache
from utils.errors import UserError
from utils.fingerprint import code_of, settings_of
from utils.image_io import write_png
from utils.sample import Entry, Sample

ROOT = Path(__file__).parent.parent


@pytest.fixture
def shared_memory(tmp_path, monkeypatch) -> Path:
    """A folder in place of the system's shared memory."""
    monkeypatch.setattr(cache, "SHARED_MEMORY", tmp_path / "shm")
    (tmp_path / "shm").mkdir()
    return tmp_path / "shm"


def write_files(root: Path, count=6, dtype=np.uint8) -> None:
    rng = np.random.default_rng(0)
    for index in range(count):
        image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        write_png(root / "images" / f"{index}.png", image)
        write_png(root / "labels" / f"{index}.png", rng.integers(0, 3, (40, 50)).astype(dtype))


def section(root: Path, **args) -> dict:
    common = {"data_dir": str(root), "classes": ["a", "b", "c"], "batch_size": 2, "augment": True}
    return {"type": "Folder", "args": {**common, "crop_size": 24, "rotate": True, **args}}


def folder(root: Path, **args):
    return make_dataset(section(root, **args), None, training=True)


def files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".lock")


@pytest.mark.parametrize("kind", ["disk", "ram"])
def test_cached_samples_are_those_read(tmp_path, kind, shared_memory):
    write_files(tmp_path)
    plain, cached = folder(tmp_path), folder(tmp_path, cache=kind)
    for _ in ("filling", "filled"):
        for index in range(6):
            a, b = plain[(1, index)], cached[(1, index)]
            assert torch.equal(a["image"], b["image"]) and torch.equal(a["target"], b["target"])
            assert a["name"] == b["name"] and a["meta"] == b["meta"]
    cached.read = None  # reading again would fail
    assert torch.equal(cached[3]["image"], plain[3]["image"])
    assert len(files(cached.cache.folder)) == 6


def test_validation_reads_it_too(tmp_path):
    write_files(tmp_path)
    args = {"data_dir": str(tmp_path), "classes": ["a", "b", "c"]}
    plain, cached = (
        make_dataset({"type": "Folder", "args": {**args, **more}}, None)
        for more in ({}, {"cache": "disk"})
    )
    for _ in range(2):
        assert torch.equal(plain[2]["image"], cached[2]["image"])
        assert torch.equal(plain[2]["target"], cached[2]["target"])


def test_arrays_of_every_kind(tmp_path):
    sample = Sample(
        "x",
        np.arange(24, dtype=np.uint16).reshape(2, 3, 4),
        {"semantic": np.array([[0, 255]], np.int32), "instance": np.array([[-1, 10**6]], np.int32)},
        meta={"valid": np.array([[True, False]]), "lanes": [[1, 2]], "road": "a"},
    )
    store = SampleCache(tmp_path / "deep")
    store.get(Entry("x"), lambda _: sample)
    found = store.get(Entry("x"), None)
    assert found.name == "x" and np.array_equal(found.image, sample.image)
    assert found.image.dtype == np.uint16 and not found.image.flags.writeable
    assert found.maps["semantic"].dtype == np.uint8 and found.maps["instance"].dtype == np.int32
    for name in sample.maps:
        assert np.array_equal(found.maps[name], sample.maps[name])
    assert np.array_equal(found.meta.pop("valid"), sample.meta.pop("valid"))
    assert found.meta == sample.meta


def test_a_file_that_changes(tmp_path):
    write_files(tmp_path)
    cached = folder(tmp_path, cache="disk")
    before = cached[0]["image"]
    path = tmp_path / "images" / "0.png"
    time = os.stat(path).st_mtime_ns
    write_png(path, np.zeros((40, 50, 3), np.uint8))
    os.utime(path, ns=(time + 1, time + 1))
    after = cached[0]["image"]
    assert not torch.equal(before, after) and after.unique(dim=1).numel() <= 3 * 24
    assert len(files(cached.cache.folder)) == 1, "the old one is replaced"


def test_other_settings_have_another_cache(tmp_path):
    write_files(tmp_path)
    first = folder(tmp_path, cache="disk")
    other = folder(tmp_path, cache="disk", remap={"2": 1})
    assert first.cache.folder != other.cache.folder
    assert set(other[0]["target"].unique().tolist()) - {255} == {0, 1}
    again = folder(tmp_path, cache="disk", blur=True)
    assert again.cache.folder == first.cache.folder, "augmentation comes after it"


MINE = """
from base.base_dataset import BaseDataset
from utils.sample import Entry

SHIFT = 1

class Mine(BaseDataset):
    classes, palette = ["a"], [[0, 0, 0]]

    def list_entries(self):
        return [Entry("x")]
"""


def test_other_code_has_another_cache(tmp_path, monkeypatch):
    """Also code beside the class, and that of the parts of a combination."""
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "my_dataset.py"
    file.write_text(MINE)
    mine = importlib.import_module("my_dataset").Mine(None, None)
    both = Combined([], [mine, mine], 255)
    before = settings_of(mine), settings_of(both)
    assert before == (settings_of(mine), settings_of(both))
    file.write_text(MINE.replace("SHIFT = 1", "SHIFT = 2"))
    assert settings_of(mine) != before[0] and settings_of(both) != before[1]
    assert Path(image_io.__file__) in code_of(type(mine))


def test_repeated_samples_are_kept_once(tmp_path):
    write_files(tmp_path)
    inner = {"data_dir": str(tmp_path), "classes": ["a", "b", "c"]}
    args = {"dataset": {"type": "Folder", "args": inner}, "times": 3}
    kept = {"cache": "disk", "cache_dir": str(tmp_path / "kept")}
    plain, cached = (
        make_dataset({"type": "Repeat", "args": {**args, **more}}, None) for more in ({}, kept)
    )
    for _ in range(2):
        for index in (0, 6, 12, 17):
            one, other = plain[index], cached[index]
            assert one["name"] == other["name"] and torch.equal(one["image"], other["image"])
    assert len(files(tmp_path / "kept")) == 2


@pytest.mark.parametrize("damage", [b"", b"\x05", b"\x05\0\0\0\0\0\0\0xxxxx"])
def test_damaged_files_are_made_again(tmp_path, damage):
    write_files(tmp_path)
    cached = folder(tmp_path, cache="disk", cache_dir=str(tmp_path / "kept"))
    before = cached[0]["image"]
    (file,) = files(tmp_path / "kept")
    file.write_bytes(damage or file.read_bytes()[:-64])
    assert torch.equal(cached[0]["image"], before)
    assert file.stat().st_size > 8000


def read_all(root: str, kept: str, out: str) -> None:
    dataset = folder(Path(root), cache="disk", cache_dir=kept)
    total = [float(dataset[(0, i)]["image"].sum()) for _ in range(5) for i in range(len(dataset))]
    Path(out).write_text(json.dumps(total))


def test_two_processes_at_once(tmp_path):
    write_files(tmp_path, 12)
    kept, outs = str(tmp_path / "kept"), [str(tmp_path / f"{i}.json") for i in range(2)]
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=read_all, args=(str(tmp_path), kept, out)) for out in outs]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
        assert job.exitcode == 0
    plain = folder(tmp_path)
    expected = [float(plain[(0, i)]["image"].sum()) for i in range(12)] * 5
    assert [json.loads(Path(out).read_text()) for out in outs] == [expected, expected]
    assert len(files(tmp_path / "kept")) == 12, "no half-written file is left"


def test_workers_fill_and_share_it(tmp_path):
    write_files(tmp_path)
    given = section(tmp_path, cache="disk", num_workers=2)
    loader = make_loader(given, make_dataset(given, None, training=True), True)
    first, second = ([batch["image"] for batch in loader] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert len(files(loader.dataset.inner.cache.folder)) == 6


def test_no_room(tmp_path):
    """A limit on the size of files stands in for a full disk."""
    write_files(tmp_path)
    given = section(tmp_path, cache="disk", cache_dir=str(tmp_path / "kept"), on_error="skip")
    dataset = make_dataset(given, None, training=True)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(CacheError, match="kept.* cannot be written: .*; make room there"):
            next(iter(make_loader(given, dataset, True)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert not files(tmp_path / "kept")


MEMORY = """
import sys
from pathlib import Path
from dataloaders.combine import Combined
from utils import cache, image_io
cache.SHARED_MEMORY = Path(sys.argv[1])
folder = cache.shared_folder(sys.argv[3])
folder.mkdir(exist_ok=True)
(folder / sys.argv[2]).write_text("")
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def start(tmp_path):
    """Start a process that keeps a file in a folder of shared memory until its input ends."""
    started = []

    def start(name: str, key: str = "key") -> subprocess.Popen:
        words = [sys.executable, "-c", MEMORY, str(tmp_path), name, key]
        process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_shared_memory_is_given_back_by_the_last(tmp_path, start):
    one, two = start("one"), start("two")
    one.communicate(b"\n")
    assert [p.name for p in files(tmp_path)] == ["one", "two"], "two still reads them"
    two.communicate(b"\n")
    assert not files(tmp_path)


def test_shared_memory_of_a_killed_run_is_given_back_by_the_next(tmp_path, start):
    killed = start("killed", "key")
    killed.kill()
    killed.wait()
    assert [p.name for p in files(tmp_path)] == ["killed"]
    start("reading", "another")
    start("next", "a third")
    assert sorted(p.name for p in files(tmp_path)) == ["next", "reading"]


def test_no_shared_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SHARED_MEMORY", tmp_path / "nowhere")
    write_files(tmp_path)
    with pytest.raises(UserError, match='"cache": "ram" needs .*nowhere; take "disk"'):
        folder(tmp_path, cache="ram")
    with pytest.raises(UserError, match='cache_dir is read with "cache": "disk" alone'):
        folder(tmp_path, cache_dir="x")
