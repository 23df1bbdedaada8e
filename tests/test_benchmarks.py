"""The benchmarks keep step with the code they measure."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

NAMES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_imports(name):
    try:
        importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:
        peers = (ROOT / "benchmarks" / "requirements.txt").read_text()
        if (error.name or "").replace("_", "-") not in peers.replace(".", "-").replace("_", "-"):
            raise
        pytest.skip(f"{error.name} of benchmarks/requirements.txt is not installed")


def test_rate_of_a_folder(tmp_path):
    from benchmarks.inference import CLASSES, folder_rate, photos, untrained
    from models import MODELS

    photos(tmp_path / "in", 2, (64, 64))
    model = MODELS.build("ENet", out_channels=CLASSES).eval()
    assert folder_rate(untrained(model, "cpu"), tmp_path / "in", tmp_path / "out") > 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["000.png", "001.png"]
