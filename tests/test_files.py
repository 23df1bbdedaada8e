"""Finding files: folders one level below, long lists, names that stand twice, a part held out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataloaders.files import NoFolder, find_below, list_files, list_images, pair
from dataloaders.held_out import held_out
from dataloaders.listing import from_patterns
from utils.errors import UserError
from utils.lines import read_lines


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_find_below_takes_the_nearest(tmp_path):
    (tmp_path / "b" / "images" / "train").mkdir(parents=True)
    (tmp_path / "a" / "images" / "val").mkdir(parents=True)
    assert find_below(tmp_path, "images/train") == tmp_path / "b" / "images" / "train"
    (tmp_path / "images" / "train").mkdir(parents=True)
    assert find_below(tmp_path, "images/train") == tmp_path / "images" / "train"
    with pytest.raises(NoFolder, match="there is no folder .*images/test or .*\\*/images/test"):
        find_below(tmp_path, "images/test")


def test_find_below_does_not_guess(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "images").mkdir(parents=True)
    with pytest.raises(
        UserError, match="a/images and .*b/images; set data_dir to the folder above"
    ) as error:
        find_below(tmp_path, "images")
    assert not isinstance(error.value, NoFolder)


def test_list_images_is_sorted_whatever_the_disk_says(tmp_path, monkeypatch):
    for name in ("b.png", "a.JPG", "c.txt", "c.png"):
        touch(tmp_path / name)
    found = {"a": tmp_path / "a.JPG", "b": tmp_path / "b.png", "c": tmp_path / "c.png"}
    for order in (sorted, lambda names: sorted(names, reverse=True)):
        names = order(["b.png", "a.JPG", "c.txt", "c.png"])
        monkeypatch.setattr(os, "listdir", lambda _, names=names: names)
        assert list(list_images(tmp_path).items()) == list(found.items())


def test_hidden_files_are_no_images(tmp_path):
    """macOS writes ._a.png beside a.png on disks of others."""
    for name in ("a.png", "._a.png"):
        touch(tmp_path / "images" / name)
    assert [*list_images(tmp_path / "images")] == ["a"]
    assert [*from_patterns(tmp_path, None, "images/*.png", (".png",))] == ["a"]


def test_list_images_looks_at_no_file(tmp_path, monkeypatch):
    for number in range(50):
        touch(tmp_path / f"{number}.jpg")
    monkeypatch.setattr(os, "stat", None)
    assert len(list_images(tmp_path)) == 50


def test_two_images_of_one_name(tmp_path):
    touch(tmp_path / "a.png")
    touch(tmp_path / "a.jpg")
    with pytest.raises(UserError, match="a.jpg and .*a.png share a name; keep one"):
        list_images(tmp_path)
    with pytest.raises(UserError, match="there is no folder .*gone"):
        list_images(tmp_path / "gone")


def test_list_files_by_ending(tmp_path):
    for name in ("x_1_left.png", "x_0_left.png", "x_0_right.png"):
        touch(tmp_path / name)
    assert list(list_files(tmp_path, "_left.png")) == ["x_0", "x_1"]


def test_pair_names_up_to_five(tmp_path):
    images = {str(i): tmp_path / f"{i}.jpg" for i in range(9)}
    with pytest.raises(UserError) as error:
        pair(images, {"0": tmp_path / "0.png", "x": tmp_path / "x.png"})
    assert str(error.value).count("has no label") == 5 and "\n  and 4 more" in str(error.value)


def test_held_out_keeps_the_order_and_follows_the_seed():
    items = list(range(100))
    train, val = (held_out(items, split, 0.2, seed=3) for split in ("train", "val"))
    assert len(val) == 20 and sorted(train + val) == items
    assert train == sorted(train) and val == sorted(val)
    assert val == held_out(items, "val", 0.2, seed=3) != held_out(items, "val", 0.2, seed=4)
    assert len(held_out(["a", "b"], "val", 0.01, seed=0)) == 1


def test_read_lines(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\n two \n")  # as Windows writes it
    assert read_lines(path) == ["one", "two"]
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read as text"):
        read_lines(path)
