"""inference.py on videos, and on folders that become one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from inferring import files, infer, photo

from utils.image_io import read_label, write_png
from utils.inference.sources import Video


def write_video(
    path: Path, count: int = 12, size: tuple[int, int] = (64, 48), code: str = "mp4v"
) -> None:
    file = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 10, size)
    for index in range(count):
        file.write(cv2.resize(photo((6, 8, 3), index), size))
    file.release()


def test_a_video_becomes_a_video(model, predict, tmp_path):
    write_video(tmp_path / "clip.mp4")
    assert infer(model, "-i", tmp_path / "clip.mp4", "-o", tmp_path / "out") == 0
    assert files(tmp_path / "out") == {"clip.mp4"}
    made = Video(tmp_path / "out" / "clip.mp4")
    assert (len(made), made.fps) == (12, 10)
    words = ("--save", "ids", "video", "--fps", "5", "--overwrite")
    assert infer(model, "-i", tmp_path / "clip.mp4", "-o", tmp_path / "out", *words) == 0
    assert files(tmp_path / "out") == {"clip.mp4", *(f"clip/{i:06d}_ids.png" for i in range(1, 13))}
    assert Video(tmp_path / "out" / "clip.mp4").fps == 5
    task = next(iter(Video(tmp_path / "clip.mp4").reads(3, lambda name: True)))
    labels = [predict(task().image) for _ in range(2)][-1]
    assert np.array_equal(read_label(tmp_path / "out" / "clip" / "000002_ids.png"), labels)


def test_a_folder_of_frames_becomes_a_video(model, tmp_path):
    for index in range(9, 12):
        write_png(tmp_path / "frames" / f"{index}.png", photo((48, 64, 3), index))
    words = ("--save", "video", "-o", tmp_path / "out", "--fps", "4")
    assert infer(model, "-i", tmp_path / "frames", *words) == 0
    made = Video(tmp_path / "out" / "frames.mp4")
    assert (len(made), made.fps) == (3, 4)


def test_a_video_of_odd_sides_keeps_the_last_row_and_column(model, tmp_path):
    write_png(tmp_path / "frames" / "1.png", photo((75, 33, 3)))
    assert infer(model, "-i", tmp_path / "frames", "--save", "video", "-o", tmp_path / "out") == 0
    made = Video(tmp_path / "out" / "frames.mp4").capture
    assert (made.get(cv2.CAP_PROP_FRAME_WIDTH), made.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (34, 76)


def damage(path: Path) -> None:
    """Blank the packet of a frame in the middle, and its start code with it."""
    data = bytearray(path.read_bytes())
    codes = [i for i in range(len(data) - 4) if data[i : i + 4] == b"\x00\x00\x01\xb6"]
    data[codes[5] : codes[6]] = bytes(codes[6] - codes[5])
    path.write_bytes(data)


def test_a_corrupt_frame_is_reported_and_the_rest_goes_on(model, tmp_path, capsys):
    write_video(tmp_path / "clip.mp4")
    damage(tmp_path / "clip.mp4")
    words = ("--save", "ids", "-o", tmp_path / "out")
    assert infer(model, "-i", tmp_path / "clip.mp4", *words) == 2
    said = capsys.readouterr().err
    assert "clip.mp4: damaged frames are left out: 6\n" in said and "could be decoded" not in said
    assert files(tmp_path / "out") == {f"clip/{i:06d}_ids.png" for i in range(1, 13) if i != 6}


def test_a_corrupt_frame_of_a_container_without_an_exact_count(model, tmp_path, capsys):
    """One frame of an AVI, whose count is an estimate elsewhere: it is counted where it is."""
    write_video(tmp_path / "clip.avi", code="MJPG")
    data = bytearray((tmp_path / "clip.avi").read_bytes())
    start = -1
    for _ in range(5):
        start = data.find(b"00dc", start + 1)
    size = int.from_bytes(data[start + 4 : start + 8], "little")
    data[start + 8 : start + 8 + size] = bytes(size)
    (tmp_path / "clip.avi").write_bytes(data)
    words = ("--save", "ids", "-o", tmp_path / "out")
    assert infer(model, "-i", tmp_path / "clip.avi", *words) == 2
    assert "damaged frames are left out: 4\n" in capsys.readouterr().err
    assert files(tmp_path / "out") == {f"clip/{i:06d}_ids.png" for i in range(1, 13) if i != 4}


def test_a_corrupt_frame_of_a_folder(model, tmp_path, capsys):
    for index in range(3):
        write_png(tmp_path / "frames" / f"{index}.png", photo((48, 64, 3), index))
    (tmp_path / "frames" / "1.png").write_bytes(b"\x89PNG broken")
    assert infer(model, "-i", tmp_path / "frames", "--save", "video", "-o", tmp_path / "out") == 2
    assert "1.png" in capsys.readouterr().err
    assert len(Video(tmp_path / "out" / "frames.mp4")) == 2


def test_skip_existing_of_a_video(model, tmp_path):
    write_video(tmp_path / "clip.mp4")
    words = ("-i", tmp_path / "clip.mp4", "-o", tmp_path / "out", "--save", "ids")
    assert infer(model, *words) == 0
    (tmp_path / "out" / "clip" / "000004_ids.png").unlink()
    kept = tmp_path / "out" / "clip" / "000005_ids.png"
    before = kept.stat().st_mtime_ns
    assert infer(model, *words, "--skip-existing") == 0
    assert len(files(tmp_path / "out")) == 12 and kept.stat().st_mtime_ns == before


def test_skip_existing_makes_a_missing_video_whole_and_leaves_one_that_is_there(model, tmp_path):
    write_video(tmp_path / "clip.mp4", 5)
    out = tmp_path / "out"
    words = ("-i", tmp_path / "clip.mp4", "-o", out, "--save", "ids", "video", "--skip-existing")
    assert infer(model, *words) == 0
    before = (out / "clip.mp4").read_bytes()
    (out / "clip" / "000002_ids.png").unlink()
    assert infer(model, *words) == 0
    assert (out / "clip.mp4").read_bytes() == before and len(files(out)) == 6
    (out / "clip.mp4").unlink()
    assert infer(model, *words) == 0
    assert len(Video(out / "clip.mp4")) == 5


def test_frames_of_two_sizes_make_no_video(model, tmp_path, capsys):
    for index, height in enumerate((48, 64)):
        write_png(tmp_path / "in" / f"{index}.png", photo((height, 64, 3), index))
    assert infer(model, "-i", tmp_path / "in", "-o", tmp_path / "out", "--save", "video") == 2
    assert "frames of one size" in capsys.readouterr().err
    assert not files(tmp_path / "out")
