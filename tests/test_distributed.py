"""Several processes: one model, one set of scores, one message, one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import ROOT, group_normed, run_many, train_words  # noqa: F401 - one is a fixture
from test_metrics import about, ignored_by
from test_train import newest_run, rows, same, train_run, write

from base.samplers import BlockSampler, EpochSampler
from dataloaders import DATASETS
from trainer import TRAINERS
from utils import checkpoint, distributed
from utils.errors import UserError
from utils.losses import LOSSES
from utils.metrics import METRICS, MetricGroup


@pytest.fixture
def grouped(tiny) -> dict:
    """5 images in batches of 4 with ignored rims: shares of the last batch are not equal."""
    tiny["n_gpu"] = 0
    tiny["arch"] = {"type": "GroupNormed", "args": {}}
    tiny["train_loader"]["args"] |= {"length": 10, "batch_size": 4, "void": 2}
    tiny["val_loader"]["args"] |= {"length": 5, "batch_size": 1, "void": 2}
    tiny["trainer"] |= {"ema_decay": 0.9, "save_period": 1}
    return tiny


# what each process is given


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_the_processes_share_every_batch(world):
    """Together they have the batches of one process, each image once."""
    whole = list(EpochSampler(11, 4, True, False, 5))
    parts = [list(EpochSampler(11, 4, True, False, 5, rank, world)) for rank in range(world)]
    kept = whole if 11 % 4 >= world else whole[:-1]  # a batch of 3 is none for 4 processes
    assert [len(part) for part in parts] == [len(kept)] * world
    for number, batch in enumerate(kept):
        shares = [part[number] for part in parts]
        assert sorted(sum(shares, [])) == sorted(batch)
        assert min(map(len, shares)) >= EpochSampler(11, 4, True, False, 5, 0, world).smallest >= 1


@pytest.mark.parametrize("world", [1, 2, 3, 4, 8])
def test_validation_deals_blocks_of_batches_in_order(world):
    whole = list(BlockSampler(11, 2))
    indices = [[index for _, index in batch] for batch in whole]
    assert indices == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10]]
    assert sum((list(BlockSampler(11, 2, rank, world)) for rank in range(world)), []) == whole


def test_images_that_are_too_few_for_the_processes_are_told():
    """Of 11 images in batches of 4 the last three have no fourth process."""
    assert str(EpochSampler(11, 4, True, False, 0, 0, 4)) == (
        "batches of 4 images, 1 a process on 4 processes; the last 3 of an epoch, fewer than the "
        "processes, are left out"
    )
    for order in (EpochSampler(11, 4, True, True, 0, 0, 4), EpochSampler(11, 4, True, False, 0)):
        assert "left out" not in str(order)


def test_a_batch_without_an_image_for_each_process_is_refused():
    with pytest.raises(ValueError, match="batch_size 2 is less than one image for each of 4"):
        EpochSampler(10, 2, True, False, 0, 0, 4)


# scores


@pytest.mark.parametrize(
    ("name", "args"),
    [*((name, {}) for name in METRICS), ("InstanceScores", {"scores": "objectness"})],
)
def test_metrics_that_counted_apart_merge_into_one(name, args):
    """Every metric says in `counted` what holds its counts; four images, counted in two places."""
    spec, known = {"type": name, "args": args}, {"num_classes": 3, "ignore_index": ignored_by(name)}
    whole, *parts = (METRICS.build(spec, **known) for _ in range(3))
    torch.manual_seed(0)
    for part in parts:
        for _ in range(2):
            truth = torch.randint(0, 3, (1, 16, 16))
            truth[:, :2] = known["ignore_index"]
            outputs = {"out": torch.randn(1, 3, 16, 16), "objectness": torch.randn(1, 1, 16, 16)}
            for metric in (whole, part):
                metric.update(outputs["out"].argmax(1), truth, outputs, about(truth))
    fresh = METRICS.build(spec, **known)
    merged = METRICS.build(spec, **known)
    merged.merge([part.state() for part in parts])
    assert same(merged.compute(), whole.compute())
    assert not same(merged.compute(), fresh.compute())  # something was counted
    for name in vars(whole).keys() - set(whole.counted):
        assert same(vars(whole)[name], vars(fresh)[name]), f"{name} holds counts too"


def test_a_group_of_metrics_merges():
    sections = [{"type": "IoU"}, {"type": "BoundaryF"}]
    groups = [MetricGroup(sections, 2, 255, ["a", "b"]) for _ in range(3)]
    maps = torch.randint(0, 2, (3, 1, 8, 8))
    for number in (0, 1):
        groups[number].update(maps[number], maps[2])
        groups[2].update(maps[number], maps[2])
    groups[0].merge([groups[0].state(), groups[1].state()])
    assert groups[0].compute() == groups[2].compute()


# losses


@pytest.mark.parametrize(
    "section",
    [
        "CrossEntropy",
        "Focal",
        "BCE",
        {"type": "CrossEntropy", "args": {"class_weights": [1, 2, 3]}},
    ],
)
def test_a_mean_over_pixels_is_over_those_of_all_processes(section, monkeypatch):
    """Two processes with 5 and 60 valid pixels: the mean of their gradients is that of one."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8)
    y = torch.randint(0, 3, (2, 8, 8))
    y[0].view(-1)[5:] = 255
    y[1].view(-1)[60:] = 255
    loss = LOSSES.build(section, num_classes=3, ignore_index=255)

    def gradient(rows: slice) -> torch.Tensor:
        leaf = x.clone().requires_grad_()
        sum(loss({"out": leaf[rows]}, y[rows]).values()).backward()
        return leaf.grad

    whole = gradient(slice(None))
    counts: list[torch.Tensor] = []
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda c: counts.append(c.clone()))
    for part in (slice(0, 1), slice(1, 2)):
        gradient(part)
    total = sum(counts)
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda c: c.copy_(total))
    torch.testing.assert_close((gradient(slice(0, 1)) + gradient(slice(1, 2))) / 2, whole)


# runs


def run_of(config: dict, folder: Path, world: int, nodes: int = 1, *words: str) -> Path:
    """Train in several processes; the run's folder."""
    config = config | {"name": f"{config['name']}{world}x{nodes}"}
    path = write(config, folder / f"{config['name']}.json")
    ended = run_many(world, folder, train_words, "-c", path, *words, nodes=nodes)
    assert [code for code, _, _ in ended] == [0] * world, ended
    assert not any(said for _, said, _ in ended[1:])  # one voice
    return newest_run(config)


def assert_alike(one: Path, other: Path) -> None:
    """Scores to six digits, weights to float tolerance, the same best epoch."""
    for row, twin in zip(rows(one), rows(other), strict=True):
        for key in row:
            assert float(twin[key] or "nan") == pytest.approx(
                float(row[key] or "nan"), rel=1e-4, abs=1e-6, nan_ok=True
            ), key
    for name in ("last.pth", "best_model.pth"):
        states = [checkpoint.load(run / name) for run in (one, other)]
        assert states[0]["iteration"] == states[1]["iteration"]
        for weights in ("state_dict", "ema"):
            pair = [state[weights].get("state_dict", state[weights]) for state in states]
            for key, value in pair[0].items():
                torch.testing.assert_close(pair[1][key], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("world", "nodes"), [(2, 1), (4, 1), (4, 2)])
def test_several_processes_train_as_one(world, nodes, grouped, tmp_path):
    """Also 4, on one machine and as two machines of two. The last batch has 2 images: none is left
    for 4 processes."""
    if world == 4:
        grouped["train_loader"]["args"]["drop_last"] = True
    grouped["trainer"] |= {"accumulate": 2, "clip_grad_norm": 1.0}
    grouped["optimizer"]["differential_lr"] = True
    one = train_run(grouped, tmp_path)
    assert_alike(one, run_of(grouped, tmp_path, world, nodes))


def test_a_head_that_no_loss_reads_and_a_batch_per_process(grouped, tmp_path):
    grouped["loss"] = {"type": "CrossEntropy", "args": {"aux_weight": 0}}
    one = train_run(grouped, tmp_path)
    grouped["train_loader"]["args"] |= {"batch_size": 2, "batch_per_process": True}
    assert_alike(one, run_of(grouped, tmp_path, 2))


def test_two_processes_resume_to_the_bit(grouped, tmp_path):
    """With dropout, whose random numbers are each process's own; and on one process with a word."""
    grouped["arch"]["args"]["dropout"] = 0.5
    grouped["trainer"] |= {"save_every_iterations": 2, "deterministic": True}
    whole = run_of(grouped, tmp_path, 2)
    grouped["name"] = "broken"
    path = write(grouped, tmp_path / "broken.json")
    ended = run_many(2, tmp_path, stopped_at, 5, path)
    assert [code for code, _, _ in ended] == [143, 143]
    way_on = "go on with:\n  torchrun --nproc_per_node=2 train.py -r"
    assert [way_on in errors for _, _, errors in ended] == [True, False]
    broken = newest_run(grouped)
    state = checkpoint.load(broken / "last.pth")
    assert state["iteration"] == 5 and not same(*state["rng"])
    resumed = run_many(2, tmp_path, train_words, "-c", path, "-r", "auto")
    assert [code for code, _, _ in resumed] == [0, 0]
    states = [checkpoint.load(run / "last.pth") for run in (whole, broken)]
    for key in states[0].keys() - {"config"}:
        assert same(states[0][key], states[1][key]), key
    assert rows(whole) == rows(broken)


def stopped_at(iteration: int, path: str) -> None:
    """Train, and send SIGTERM to the second process alone as that iteration begins."""
    on_step(iteration, lambda: os.kill(os.getpid(), signal.SIGTERM))
    train_words("-c", path)


def on_step(iteration: int, action, rank: int = 1) -> None:
    """Let one process, the second, do something as an iteration begins."""
    step = TRAINERS["Trainer"].step

    def wrapped(self, batch):
        if distributed.rank() == rank and self.iteration + 1 == iteration:
            action()
        return step(self, batch)

    TRAINERS["Trainer"].step = wrapped


def train_a_pair(path: str, folder: str) -> None:
    """Train a mean teacher with batch norms, and keep what each process has of it at the end."""
    Trainer, models = TRAINERS["MeanTeacherTrainer"], []
    step = Trainer.step

    def wrapped(self, batch):
        models.append(self.model)
        return step(self, batch | {"image2": 0.9 * batch["image"]})

    Trainer.step = wrapped
    train_words("-c", path)
    torch.save(models[-1].state_dict(), Path(folder) / f"{os.environ['RANK']}.pt")


def test_two_processes_have_one_teacher(grouped, tmp_path):
    """Its running statistics too, though each process has seen other images."""
    grouped["arch"] = {"type": "MeanTeacher", "args": {"model": {"type": "ENet", "args": {}}}}
    grouped["trainer"] |= {"type": "MeanTeacherTrainer", "ema_decay": 0}
    grouped["val_loader"] = None
    path = write(grouped, tmp_path / "pair.json")
    ended = run_many(2, tmp_path, train_a_pair, path, str(tmp_path))
    assert [code for code, _, _ in ended] == [0, 0], ended
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert any("teacher" in name and "running_mean" in name for name in first)
    assert same(first, second)
    assert same(first, checkpoint.load(newest_run(grouped) / "last.pth")["state_dict"])


def test_another_number_of_processes_is_said(grouped, tmp_path, capsys):
    run = run_of(grouped, tmp_path, 2)
    grouped["trainer"]["epochs"] = 3
    path = write(grouped, tmp_path / "more.json")
    train_words("-c", path, "-r", str(run / "last.pth"))
    assert "written by 2 processes, this run has 1" in capsys.readouterr().out
    grouped["train_loader"]["args"]["batch_size"] = 5
    path = write(grouped, tmp_path / "more.json")
    with pytest.raises(UserError, match="3 batches of 4 images, this config makes 2 of 5"):
        train_words("-c", path, "-r", str(run / "last.pth"))


# errors


def broken_image(path: str, iteration: int, where: str) -> None:
    """Train, and let a file of the second process be unreadable from some read on."""
    Shapes = DATASETS["Shapes"]
    read, seen = Shapes.read, []

    def failing(self, entry):
        seen.append(entry)
        if distributed.rank() == 1 and entry.name.startswith(where) and "checked" in globals():
            raise UserError(f"{entry.name} cannot be read")
        return read(self, entry)

    Shapes.read = failing
    on_step(iteration, lambda: globals().update(checked=True))
    train_words("-c", path)


@pytest.mark.parametrize("where", ["train", "val"])
def test_an_error_of_one_process_ends_all_with_one_message(where, grouped, tmp_path):
    path = write(grouped, tmp_path / "bad.json")
    ended = run_many(2, tmp_path, broken_image, path, 2, where)
    assert [code for code, _, _ in ended] == [2, 2]
    assert ended[0][2] == "" and "cannot be read" in ended[1][2]


def test_a_wrong_config_is_said_once(grouped, tmp_path):
    grouped["arch"]["type"] = "Nowhere"
    path = write(grouped, tmp_path / "bad.json")
    ended = run_many(2, tmp_path, train_words, "-c", path)
    assert [code for code, _, _ in ended] == [2, 2]
    assert "Nowhere" in ended[0][2] and ended[1][2] == ""


def of_other_data(path: str) -> None:
    """Train where the second process sees fewer images."""
    second = os.environ["RANK"] == "1"
    train_words("-c", path, *(["--set", "train_loader.args.length=6"] if second else []))


def test_processes_that_see_other_data_do_not_train(grouped, tmp_path):
    ended = run_many(2, tmp_path, of_other_data, write(grouped, tmp_path / "other.json"))
    assert [code for code, _, _ in ended] == [2, 2] and ended[1][2] == ""
    assert "differ; let every machine see the same data" in ended[0][2]
    assert "(0, 10), (0, 6)" in ended[0][2]


def test_synch_bn_needs_gpus(grouped, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    grouped["use_synch_bn"] = True
    ended = run_many(2, tmp_path, train_words, "-c", write(grouped, tmp_path / "bn.json"))
    assert [code for code, _, _ in ended] == [2, 2]
    assert "SyncBatchNorm runs on GPUs alone" in ended[0][2]


def killed_at(iteration: int, path: str, rank: int) -> None:
    on_step(iteration, lambda: os.kill(os.getpid(), signal.SIGKILL), rank)
    train_words("-c", path)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_with_a_sentence(rank, grouped, tmp_path):
    whole = run_of(grouped, tmp_path, 2)
    grouped["name"] = "killed"
    path = write(grouped, tmp_path / "killed.json")
    ended = run_many(2, tmp_path, killed_at, 4, path, rank)
    assert [ended[rank][0], ended[1 - rank][0]] == [None, 2]
    assert "another process of this run has ended" in ended[1 - rank][2]
    if rank == 1:  # the other one may die as it writes
        assert checkpoint.load(newest_run(grouped) / "last.pth")["iteration"] == 3
    assert [c for c, _, _ in run_many(2, tmp_path, train_words, "-c", path, "-r", "auto")] == [0, 0]
    broken = newest_run(grouped)
    states = [checkpoint.load(run / "last.pth")["state_dict"] for run in (whole, broken)]
    assert same(*states) and rows(whole) == rows(broken)


def gone_wrong(iteration: int, path: str) -> None:
    """Train, and give the second process weights that are not finite."""
    step = TRAINERS["Trainer"].step

    def wrapped(self, batch):
        if distributed.rank() == 1 and self.iteration + 1 == iteration:
            batch["image"] = batch["image"] * float("nan")
        return step(self, batch)

    TRAINERS["Trainer"].step = wrapped
    train_words("-c", path)


def test_a_loss_that_is_not_finite_in_one_process_is_named_once(grouped, tmp_path):
    ended = run_many(2, tmp_path, gone_wrong, 2, write(grouped, tmp_path / "nan.json"))
    assert [code for code, _, _ in ended] == [2, 2] and ended[1][2] == ""
    assert "the loss term 'ce' is nan" in ended[0][2] and "at iteration 2" in ended[0][2]
    batch = torch.load(newest_run(grouped) / "debug_batch.pt", weights_only=True)
    assert batch["image"].isnan().all() and batch["iteration"] == 2
    assert all(name in ended[0][2] for name in batch["name"])


# processes that the program starts itself


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "code"), [("GroupNormed", 0), ("Nowhere", 2)])
def test_the_program_starts_its_own_processes(arch, code, grouped, tmp_path):
    """As it does for SyncBatchNorm; here on the CPU, with a package of its own."""
    grouped["arch"]["type"] = arch
    path = write(grouped, tmp_path / "own.json")
    words = ["train.py", "--import", "tests.group_normed_package", "-c", path, "-d", "cpu"]
    program = f"from utils.distributed import launch; raise SystemExit(launch(2, {words!r}))"
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert ended.returncode == code, ended.stderr
    assert ("2 a process on 2 processes" in ended.stdout) == (code == 0)
    assert ended.stderr.count("unknown 'Nowhere'") == (code == 2)
