"""Hard stops, numbers gone wrong: what is left is good, and the run ends like the unbroken one."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from processes import group_normed, run_many, train_words  # noqa: F401 - one is a fixture
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_train import newest_run, rows, same, train_run, write

from dataloaders import DATASETS
from trainer import TRAINERS
from utils import checkpoint
from utils.engine.run_folder import RunFolder
from utils.engine.saving import BackgroundWriter
from utils.errors import UserError


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def assert_ends_alike(whole: Path, broken: Path) -> None:
    """Weights, optimizer and generators to the bit; scores and curves without gaps or repeats."""
    states = [checkpoint.load(folder / "last.pth") for folder in (whole, broken)]
    for key in states[0].keys() - {"config"}:
        assert same(states[0][key], states[1][key]), key
    assert rows(whole) == rows(broken)
    assert same(scalars(whole), scalars(broken))
    assert not list(broken.glob("*.part"))


# killed


def on_step(at: int, action: Callable[[], None]) -> None:
    """Let something happen as iteration `at` begins."""
    step = TRAINERS["Trainer"].step

    def wrapped(self, batch):
        if self.iteration + 1 == at:
            action()
        return step(self, batch)

    TRAINERS["Trainer"].step = wrapped


def killed_in(where: str, at: int, path: str) -> None:
    """Train, and die as iteration `at` begins, or inside the write of its checkpoint."""
    if where == "step":
        on_step(at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    else:
        save = torch.save

        def halfway(state, file):
            if state["iteration"] >= at:
                file.write(b"half")
                file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            save(state, file)

        torch.save = halfway
    train_words("-c", path)


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize(("where", "at"), [("step", 7), ("write", 6)])
def test_a_killed_run_goes_on_to_the_bit(where, at, workers, run, tmp_path):
    if workers and where == "write":
        pytest.skip("workers have no part in the writing")
    run["train_loader"]["args"]["num_workers"] = workers
    whole = train_run(run, tmp_path)
    run["name"] = "broken"
    path = write(run, tmp_path / "broken.json")
    ((code, _, _),) = run_many(1, tmp_path, killed_in, where, at, path)
    assert code is None
    broken = newest_run(run)
    assert list(broken.glob("*.part")) or where == "step"
    train_words("-c", path, "-r", "auto")
    assert_ends_alike(whole, broken)


def stopped_twice(at: int, path: str) -> None:
    on_step(at, lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)])
    train_words("-c", path)


def test_ctrl_c_twice_stops_at_once_and_leaves_a_good_checkpoint(run, tmp_path):
    whole = train_run(run, tmp_path)
    run["name"] = "broken"
    path = write(run, tmp_path / "broken.json")
    ((code, _, errors),) = run_many(1, tmp_path, stopped_twice, 8, path)
    assert code == 130 and "Ctrl-C again stops at once" in errors
    last = newest_run(run) / "last.pth"
    assert errors.endswith(f"\nstopped at once; go on with:\n  python train.py -r {last}\n")
    assert checkpoint.load(last)["iteration"] == 6
    train_words("-c", path, "-r", "auto")
    assert_ends_alike(whole, newest_run(run))


def test_ctrl_c_twice_before_anything_is_saved(run, tmp_path):
    path = write(run, tmp_path / "broken.json")
    ((code, _, errors),) = run_many(1, tmp_path, stopped_twice, 1, path)
    assert code == 130 and f"stopped at once; no checkpoint is in {newest_run(run)} yet" in errors


def test_a_truncated_last_checkpoint_is_passed_over(run, tmp_path, capsys):
    run["trainer"]["save_period"] = 1
    folder = train_run(run, tmp_path)
    last = folder / "last.pth"
    whole, table = checkpoint.load(last), rows(folder)
    last.write_bytes(last.read_bytes()[:1000])
    for name in ("best_model.pth", "checkpoint-epoch3.pth"):
        (folder / name).unlink()
    train_words("-c", str(tmp_path / "tiny.json"), "-r", "auto")
    said = capsys.readouterr().out
    assert "damaged or cut short" in said and "checkpoint-epoch2.pth" in said
    assert same(checkpoint.load(last)["state_dict"], whole["state_dict"])
    assert rows(folder) == table


# writing


def test_a_full_disk_ends_the_run_and_keeps_what_was_saved(run, tmp_path, monkeypatch):
    """The third checkpoint finds no room."""
    written = []
    whole = torch.save

    def limited(state, file):
        written.append(state["iteration"])
        whole(state, file)
        if len(written) == 3:
            file.truncate(1000)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", limited)
    told = r"could not be written: No space(.|\n)*go on with:\n.*last.pth"
    with pytest.raises(UserError, match=told):
        train_run(run, tmp_path)
    monkeypatch.undo()
    folder = newest_run(run)
    assert not list(folder.glob("*.part"))
    assert checkpoint.load(folder / "last.pth")["iteration"] in written[:2]
    train_words("-r", str(folder / "last.pth"))
    assert checkpoint.load(folder / "last.pth")["iteration"] == 12


def written_nowhere(how: str, at: int, path: str) -> None:
    """Train, and let no file grow, or the run's folder be read-only, as iteration `at` begins."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    threading.excepthook = lambda _: None  # TensorBoard's thread prints what the run hears of
    if how == "full":
        on_step(at, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1])))
    elif os.geteuid() == 0:
        on_step(at, lambda: os.seteuid(65534))  # root may write anywhere
    else:
        on_step(at, lambda: newest_run(json.loads(Path(path).read_text())).chmod(0o555))
    try:
        train_words("-c", path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        os.seteuid(os.getuid())


@pytest.mark.parametrize("at", [6, 7])  # before a write inside an epoch, and before a validation
@pytest.mark.parametrize(
    ("how", "reason"), [("full", "File too large"), ("read-only", "Permission denied")]
)
def test_a_folder_that_cannot_be_written_is_a_sentence(how, reason, at, run, tmp_path):
    with tempfile.TemporaryDirectory() as open_to_all:
        os.chmod(open_to_all, 0o755)
        whole = train_run(run, tmp_path)
        run["name"], run["trainer"]["save_dir"] = "broken", open_to_all
        path = write(run, tmp_path / "broken.json")
        ((code, _, errors),) = run_many(1, tmp_path, written_nowhere, how, at, path)
        broken = newest_run(run)
        broken.chmod(0o755)
        assert code == 2 and "Traceback" not in errors and "Logging error" not in errors, errors
        assert reason in errors and f"go on with:\n  python train.py -r {broken}" in errors
        train_words("-c", path, "-r", "auto")
        assert_ends_alike(whole, broken)


def test_checkpoints_are_written_in_order_and_the_snapshot_holds(tmp_path, monkeypatch):
    """Writing waits while training changes the weights: the file has what they were."""
    go, order = threading.Event(), []
    save = checkpoint.save

    def slow(state, path):
        go.wait(10)
        order.append(path.name)
        save(state, path)

    monkeypatch.setattr(checkpoint, "save", slow)
    weights = torch.ones(3)
    writer = BackgroundWriter()
    state = checkpoint.snapshot({"state_dict": {"w": weights}, "rng": [weights]})
    writer.write(state, tmp_path / "best_model.pth")
    writer.write(state, tmp_path / "last.pth")
    weights.zero_()
    writer.check()
    assert order == []
    go.set()
    writer.wait()
    writer.close()
    assert order == ["best_model.pth", "last.pth"]
    kept = checkpoint.load(tmp_path / "last.pth")
    assert kept["state_dict"]["w"].sum() == kept["rng"][0].sum() == 3


def test_a_failed_write_is_heard_at_the_next_check(tmp_path):
    writer = BackgroundWriter()
    writer.write({}, tmp_path / "nowhere" / "last.pth")
    with pytest.raises(UserError, match="last.pth could not be written: No such file"):
        writer.wait()
    writer.close()


# data


def test_an_image_that_goes_bad_names_itself_and_the_way_on(run, tmp_path, monkeypatch):
    whole = train_run(run, tmp_path)
    run["name"] = "broken"
    Shapes = DATASETS["Shapes"]
    real, seen = Shapes.read, []

    def read(self, entry):
        seen.append(entry)
        if len(seen) > 30:
            raise UserError(f"{entry.name} cannot be read")
        return real(self, entry)

    monkeypatch.setattr(Shapes, "read", read)
    with pytest.raises(UserError, match=r"train_\d+ cannot be read\nWhen(.|\n)*last.pth"):
        train_run(run, tmp_path)
    monkeypatch.setattr(Shapes, "read", real)
    broken = newest_run(run)
    train_words("-r", str(broken / "last.pth"))
    assert_ends_alike(whole, broken)


def test_a_killed_worker_is_a_sentence(run, tmp_path, monkeypatch):
    run["train_loader"]["args"]["num_workers"] = 1
    Shapes, main = DATASETS["Shapes"], os.getpid()
    real = Shapes.read

    def read(self, entry):
        if os.getpid() != main:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, entry)

    monkeypatch.setattr(Shapes, "read", read)
    with pytest.raises(UserError, match="a worker of the loader ended.*lower num_workers"):
        train_run(run, tmp_path)


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset by peer"), EOFError()])
@pytest.mark.parametrize("where", ["step", "close"])
def test_a_killed_worker_whose_pipe_breaks_first(where, error, run, tmp_path, monkeypatch):
    """torch raises in whatever runs as it hears of the worker's end, also as the folder closes."""

    def broken(*_):
        raise error

    if where == "step":
        monkeypatch.setattr(TRAINERS["Trainer"], "step", broken)
    else:
        monkeypatch.setattr(RunFolder, "close", broken)
    with pytest.raises(UserError, match="a worker of the loader ended") as sentence:
        train_run(run, tmp_path)
    assert ("go on with" in str(sentence.value)) == (where == "close")  # there is a checkpoint


def test_a_full_gpu_is_a_sentence(run, tmp_path, monkeypatch):
    def full(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nlong advice")

    monkeypatch.setattr(TRAINERS["Trainer"], "step", full)
    with pytest.raises(UserError, match=r"memory is full \(CUDA out of.*GiB\.\); lower batch_size"):
        train_run(run, tmp_path)


# modes


def test_overfitting_repeats_the_same_batch(run, tmp_path, monkeypatch):
    seen = []
    step = TRAINERS["Trainer"].step

    def noting(self, batch):
        seen.append((batch["name"], batch["image"].clone()))
        return step(self, batch)

    monkeypatch.setattr(TRAINERS["Trainer"], "step", noting)
    run["trainer"]["overfit_batches"] = 1
    train_run(run, tmp_path)
    assert len(seen) == 3
    assert all(same(names, seen[0][0]) and torch.equal(i, seen[0][1]) for names, i in seen)


def test_smoke_goes_through_everything_in_two_batches(run, tmp_path):
    run["trainer"] |= {"smoke": True, "save_period": 1}
    folder = train_run(run, tmp_path)
    names = {path.name for path in folder.iterdir()}
    assert {"last.pth", "checkpoint-epoch1.pth", "metrics.csv"} <= names
    assert [row["iteration"] for row in rows(folder)] == ["2"]
