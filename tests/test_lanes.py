"""Lanes: fitted through masks, scored as the official script, through both tools."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch

from tools import score_tusimple, tusimple_submission
from utils.errors import UserError
from utils.image_io import write_png
from utils.lanes import fit_lanes
from utils.metrics import METRICS
from utils.tusimple import read_frames, score_lanes

ROOT = Path(__file__).parent.parent
SIZE = (720, 1280)
HEIGHTS = list(range(160, 711, 10))
Y = np.array(HEIGHTS, float)


def lane(x: np.ndarray, top: int = 0, bottom: int = 720) -> list[int]:
    """x at each height as TuSimple has it: whole, -2 outside the image and beyond the ends."""
    inside = (x >= 0) & (x < SIZE[1]) & (top <= Y) & (bottom >= Y)
    return np.where(inside, x.round(), -2).astype(int).tolist()


LANES = {
    "straight": lane(300 + 0.6 * (Y - 160)),
    "curved": lane(600 + 0.002 * (Y - 200) ** 2),
    "s-shaped": lane(700 + 90 * np.sin((Y - 160) / 90)),
    "near-horizontal": lane(40 + 9 * (Y - 300), top=300, bottom=430),
    "over the border": lane(1000 + 1.5 * (Y - 300), top=300),
    "in from the border": lane(-200 + 1.2 * (Y - 160)),
    "short": lane(500 + 1.0 * (Y - 500), top=500, bottom=530),
}


def draw(lanes: list[list[int]], heights=HEIGHTS, thickness: int = 7, size=SIZE) -> np.ndarray:
    """Lanes as ids 1, 2, ... of a map (H, W) of any size."""
    mask = np.zeros(SIZE, np.uint8)
    for number, xs in enumerate(lanes, 1):
        points = [(x, y) for x, y in zip(xs, heights, strict=True) if x >= 0]
        cv2.polylines(mask, [np.array(points, np.int32)], False, number, thickness)
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST).astype(np.int64)


def official(found, truth, heights) -> tuple[float, float, float]:
    """The rules of the benchmark's page and script, point by point."""
    if len(found) > len(truth) + 2:
        return 0.0, 0.0, 1.0
    shares = []
    for true in truth:
        seen = [(y, x) for y, x in zip(heights, true, strict=True) if x >= 0]
        angle = math.atan(np.polyfit(*zip(*seen, strict=True), 1)[0]) if len(seen) > 1 else 0.0
        share = [0.0]
        for guess in found:
            right = 0
            for x, t in zip(guess, true, strict=True):
                x, t = (x if x >= 0 else -100), (t if t >= 0 else -100)
                right += abs(x - t) < 20 / math.cos(angle)
            share.append(right / len(heights))
        shares.append(max(share))
    missed = sum(share < 0.85 for share in shares)
    false = len(found) - (len(truth) - missed)
    if len(truth) > 4:
        missed -= missed > 0
        shares.remove(min(shares))
    lanes = max(min(len(truth), 4), 1)
    return sum(shares) / lanes, false / len(found) if found else 0.0, missed / lanes


# fitting


@pytest.mark.parametrize("size", [(720, 1280), (360, 640), (512, 512), (256, 512)])
@pytest.mark.parametrize("thickness", [5, 7])
@pytest.mark.parametrize("name", LANES)
def test_a_drawn_lane_is_fitted_again(name, thickness, size):
    truth = LANES[name]
    fitted = fit_lanes(draw([truth], thickness=thickness, size=size), HEIGHTS, SIZE)
    accuracy, false, missed = score_lanes(fitted, [truth], HEIGHTS)
    assert (false, missed) == (0, 0)
    assert accuracy >= (0.99 if size == SIZE else 0.96)


@pytest.mark.parametrize("name", ["straight", "curved", "s-shaped", "in from the border"])
def test_fitted_points_are_within_two_pixels(name):
    truth = np.array(LANES[name], float)
    (fitted,) = np.array(fit_lanes(draw([LANES[name]]), HEIGHTS, SIZE))
    assert ((fitted >= 0) == (truth >= 0)).all()
    inner = (truth >= 20) & (truth < SIZE[1] - 20)
    inner[[0, -1]] = False  # the round end of a brush is no middle of a row
    assert np.abs(fitted - truth)[inner].max() <= 2


def test_dashes_are_bridged_and_strays_left_out():
    truth = LANES["curved"]
    mask = draw([truth])
    mask[(np.arange(SIZE[0]) // 25) % 3 == 0] = 0
    mask[:20, :3] = 1
    mask[np.random.default_rng(0).random(SIZE) < 2e-4] = 1
    (fitted,) = np.array(fit_lanes(mask, HEIGHTS, SIZE))
    middle = slice(5, -5)
    assert np.abs(fitted - truth)[middle].max() < 6


def test_lanes_come_by_id_and_specks_are_none():
    mask = draw([LANES["straight"], LANES["curved"]])
    mask[mask == 2] = 2**40
    mask[5:8, 5:8] = 7
    first, second = fit_lanes(mask, HEIGHTS, SIZE)
    assert first[0] == pytest.approx(300, abs=2) and second[5] == pytest.approx(600, abs=3)
    assert fit_lanes(np.zeros(SIZE, int), HEIGHTS, SIZE) == []


def test_labels_of_eight_bits_can_be_fitted():
    mask = draw([LANES["straight"]])
    assert fit_lanes(mask.astype(np.uint8), HEIGHTS, SIZE) == fit_lanes(mask, HEIGHTS, SIZE)


def test_real_lanes_drawn_and_fitted_again(real_data):
    frames = read_frames(real_data / "tusimple_mini" / "label_data_0601.json", ("lanes",))
    assert len(frames) == 6
    for thickness in (5, 7):
        for frame in frames.values():
            mask = draw(frame["lanes"], frame["h_samples"], thickness)
            fitted = fit_lanes(mask, frame["h_samples"], SIZE)
            accuracy, false, missed = score_lanes(fitted, frame["lanes"], frame["h_samples"])
            assert accuracy >= 0.99 and (false, missed) == (0, 0)


# scoring


def test_scores_equal_the_rules():
    rng = np.random.default_rng(0)
    pool = list(LANES.values())
    for _ in range(200):
        truth = [pool[i] for i in rng.permutation(7)[: rng.integers(0, 7)]]
        found = []
        for true in [*truth, pool[0]]:
            if rng.random() < 0.7:
                moved = np.array(true) + rng.normal(0, rng.choice([2, 12, 25]), len(true))
                moved = np.where((np.array(true) < 0) | (rng.random(len(true)) < 0.05), -2, moved)
                found.append(moved.tolist())
        ours, expected = score_lanes(found, truth, HEIGHTS), official(found, truth, HEIGHTS)
        assert ours == pytest.approx(expected, abs=1e-9)


def test_scores_by_hand():
    """Two true lanes of ten points straight down; one found with 8 right points, one not at all."""
    heights = list(range(10))
    truth = [[100] * 10, [300] * 10]
    found = [[119] * 8 + [121] * 2]
    assert score_lanes(found, truth, heights) == pytest.approx((0.8 / 2, 1.0, 1.0))
    assert score_lanes([[119] * 9 + [121]], truth, heights) == pytest.approx((0.45, 0, 0.5))
    assert score_lanes([[100] * 10] * 5, truth, heights) == (0, 0, 1)
    assert score_lanes([], truth, heights) == (0, 0, 1)
    assert score_lanes([], [], heights) == (0, 0, 0)


def test_a_lane_of_other_length_is_refused():
    with pytest.raises(ValueError, match="a lane has 2 points, there are 3 h_samples"):
        score_lanes([[1, 2]], [], [0, 10, 20])


def build():
    return METRICS.build("LaneScores", num_classes=2, ignore_index=-1)


def test_metric_scores_maps_of_any_size():
    truth = [LANES["straight"], LANES["curved"]]
    meta = [{"lanes": truth, "h_samples": HEIGHTS, "size": SIZE}]
    for size in (SIZE, (360, 640)):
        labels = torch.from_numpy(draw(truth, size=size))[None]
        metric = build()
        metric.update(labels, labels, None, meta)
        assert metric.compute() == {"Lane_Accuracy": 1, "Lane_FP": 0, "Lane_FN": 0}
    metric.update(torch.zeros_like(labels), labels, None, meta)
    assert metric.compute() == {"Lane_Accuracy": 0.5, "Lane_FP": 0, "Lane_FN": 0.5}


def test_metric_needs_lanes():
    maps = torch.zeros(1, 8, 8, dtype=torch.int64)
    for meta in (None, [{"size": (8, 8)}]):
        with pytest.raises(UserError, match="reads lanes and h_samples, which this data set"):
            build().update(maps, maps, None, meta)


# the tools


@pytest.fixture
def tasks(tmp_path) -> Path:
    """Two frames with their true lanes."""
    frames = [
        {"raw_file": f"clips/0601/{number}/20.jpg", "h_samples": HEIGHTS, "lanes": lanes}
        for number, lanes in enumerate(([LANES["straight"]], [LANES["curved"], LANES["short"]]))
    ]
    file = tmp_path / "label_data.json"
    file.write_text("".join(json.dumps(frame) + "\n" for frame in frames))
    return file


def masks(tasks: Path) -> list[np.ndarray]:
    return [draw(frame["lanes"]) for frame in read_frames(tasks, ("lanes",)).values()]


def submit(*words) -> None:
    tusimple_submission.main(tusimple_submission.parse([str(word) for word in words]))


def score(*words) -> None:
    score_tusimple.main(score_tusimple.parse([str(word) for word in words]))


PERFECT = "2 frames: Lane_Accuracy 1.0000   Lane_FP 0.0000   Lane_FN 0.0000"


@pytest.mark.parametrize("name", ["clips/0601/{}/20", "clips_0601_{}_20", "000{}"])
@pytest.mark.parametrize("ending", [".png", "_instances.png", "_predictions.h5"])
def test_from_predictions_to_scores(name, ending, tasks, tmp_path, capsys):
    index = tmp_path / "index.txt"
    index.write_text("0000 clips/0601/0/20.jpg\n0001 clips/0601/1/20.jpg\n")
    for number, mask in enumerate(masks(tasks)):
        file = tmp_path / "found" / (name.format(number) + ending)
        file.parent.mkdir(parents=True, exist_ok=True)
        if ending.endswith(".png"):
            write_png(file, mask.astype(np.uint8), [[0, 0, 0], [255, 0, 0], [0, 255, 0]])
        else:
            with h5py.File(file, "w") as data:
                data["segmentation"] = mask.astype(np.uint32)
    output = tmp_path / "out" / "lanes.json"
    words = ["--index", index] if name.startswith("000") else []
    submit(tmp_path / "found", tasks, "-o", output, "--run-time", 12.5, *words)
    assert "3 lanes of 2 frames" in capsys.readouterr().out
    assert [f["run_time"] for f in read_frames(output, ("lanes", "h_samples")).values()] == [
        12.5
    ] * 2
    score(output, tasks)
    assert capsys.readouterr().out.strip() == PERFECT


def test_the_truth_itself_is_perfect(tasks, real_data, capsys):
    score(tasks, tasks)
    assert capsys.readouterr().out.strip() == PERFECT
    real = real_data / "tusimple_mini" / "label_data_0601.json"
    score(real, real, "--per-frame")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7 and all("1.0000   Lane_FP 0.0000   Lane_FN 0.0000" in x for x in lines)


def test_slow_frames_fail_under_a_limit(tasks, tmp_path, capsys):
    frames = read_frames(tasks, ())
    slow = tmp_path / "slow.json"
    lines = [
        json.dumps(frame | {"run_time": 150 + 100 * i}) for i, frame in enumerate(frames.values())
    ]
    slow.write_text("\n".join(lines))
    for limit in ("inf", "250"):
        score(slow, tasks, "--time-limit", limit)
        assert capsys.readouterr().out.strip() == PERFECT
    score(slow, tasks)
    out = capsys.readouterr().out
    assert "Lane_Accuracy 0.5000   Lane_FP 0.0000   Lane_FN 0.5000" in out
    assert "1 of them failed, as their run_time is above 200 ms, such as clips/0601/1/20.jpg" in out


def test_what_users_get_wrong(tasks, tmp_path):
    found = tmp_path / "found"
    with pytest.raises(UserError, match="found is not a folder"):
        submit(found, tasks)
    found.mkdir()
    with pytest.raises(UserError, match=r"lacks the predictions of 2 of 2 frames, such as clips/"):
        submit(found, tasks)
    with pytest.raises(UserError, match="is no index of tools/prepare_tusimple.py"):
        submit(found, tasks, "--index", tasks)
    for number in range(2):
        with h5py.File(found / f"clips_0601_{number}_20.h5", "w") as data:
            data["raw"] = np.zeros((4, 5))
    with pytest.raises(
        UserError, match="no data set 'segmentation'; it holds raw. cluster.py adds"
    ):
        submit(found, tasks, "-o", tmp_path / "lanes.json")
    with pytest.raises(UserError, match="no data set 'other'; it holds raw"):
        submit(found, tasks, "--dataset", "other")
    for number in range(2):
        with h5py.File(found / f"clips_0601_{number}_20.h5", "w") as data:
            data.create_group("segmentation")
    with pytest.raises(UserError, match="20.h5: /segmentation is a group; a data set of numbers"):
        submit(found, tasks, "-o", tmp_path / "lanes.json")
    for number in range(2):
        write_png(found / f"clips_0601_{number}_20.png", np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(UserError, match=r"holds \(4, 5, 3\); an object map is \(H, W\)"):
        submit(found, tasks, "-o", tmp_path / "lanes.json")
    with pytest.raises(UserError, match="--size 1280: write widthxheight"):
        submit(found, tasks, "--size", "1280")
    with pytest.raises(UserError, match="--size 1280x710: .* asks for lanes at the height 710"):
        submit(found, tasks, "--size", "1280x710")
    assert not (tmp_path / "lanes.json").exists()


@pytest.mark.parametrize("time", ["nan", "inf", "-5", "fast"])
def test_a_time_is_a_number_from_0_up(time, tasks, tmp_path, capsys):
    with pytest.raises(SystemExit):
        submit(tmp_path, tasks, f"--run-time={time}")
    assert "is no number from 0 up" in capsys.readouterr().err
    if time != "inf":
        with pytest.raises(SystemExit):
            score(tasks, tasks, f"--time-limit={time}")
        assert "is no number from 0 up" in capsys.readouterr().err


def test_a_size_of_another_ratio_is_told(tasks, tmp_path, capsys):
    for number, mask in enumerate(masks(tasks)):
        write_png(tmp_path / f"clips_0601_{number}_20.png", mask.astype(np.uint8))
    words = (tmp_path, tasks, "-o", tmp_path / "lanes.json")
    submit(*words)
    assert "note" not in capsys.readouterr().out
    submit(*words, "--size", "640x720")
    told = "note: 2 maps have another ratio of width to height than --size 640x720"
    assert told in capsys.readouterr().out


NO_FRAMES = (
    "{",
    "[1]",
    '{"raw_file": "a"}',
    '{"raw_file": "a", "lanes": 5}',
    '{"raw_file": "a", "lanes": [5]}',
    '{"raw_file": "a", "lanes": [["5"]]}',
    '{"raw_file": "a", "lanes": [[NaN]]}',
    '{"raw_file": "a", "lanes": [[1]], "h_samples": [1, 2]}',
    '{"raw_file": "a", "lanes": [[]], "h_samples": []}',
    '{"raw_file": "a", "lanes": [[1]], "run_time": "fast"}',
)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "holds no frames"),
        *((line, "line 1 is not a frame of TuSimple: {.*lanes.*}") for line in NO_FRAMES),
        (NO_FRAMES[-1], "in every lane; run_time is 'fast', no number from 0 up"),
        ('{"raw_file": "a", "lanes": [], "run_time": -1}', "run_time is -1, no number from 0 up"),
        ('{"raw_file": "a", "lanes": []}\n' * 2, "line 2 lists a, which is listed before"),
        ('{"raw_file": "a", "lanes": []}', "lacks 2 of 2 frames, such as clips/0601/0/20.jpg"),
    ],
)
def test_bad_predictions_are_refused(text, message, tasks, tmp_path):
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        score(file, tasks)


def test_lanes_of_other_lengths_are_refused_by_name(tasks, tmp_path):
    frames = read_frames(tasks, ()).values()
    file = tmp_path / "short.json"
    lanes = ({"raw_file": frame["raw_file"], "lanes": [[1, 2]]} for frame in frames)
    file.write_text("\n".join(map(json.dumps, lanes)))
    with pytest.raises(UserError, match="clips/0601/0/20.jpg: a lane has 2 points, there are 56"):
        score(file, tasks)


def test_as_commands(tasks, tmp_path):
    def command(tool: str, *words) -> subprocess.CompletedProcess:
        line = [sys.executable, str(ROOT / "tools" / tool), *map(str, words)]
        return subprocess.run(line, capture_output=True, text=True, timeout=120)

    done = command("score_tusimple.py", tasks, tasks)
    assert (done.returncode, done.stdout.strip()) == (0, PERFECT)
    done = command("tusimple_submission.py", tmp_path / "nothing", tasks)
    assert done.returncode == 2 and done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
