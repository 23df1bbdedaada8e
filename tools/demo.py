"""Train, score and predict the quick start, and say where to look."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from dataloaders import DATASETS  # noqa: E402
from utils.image_io import write_png  # noqa: E402

RUNS = Path("saved/quickstart")
IMAGES = Path("saved/demo/images")
PREDICTIONS = Path("saved/demo/predictions")


def command(*words: str) -> None:
    """Print a command and run it with this interpreter."""
    print(f"\n$ python {' '.join(words)}", flush=True)
    code = subprocess.run([sys.executable, *words], cwd=ROOT).returncode
    if code:
        raise SystemExit(code)


def main() -> None:
    start = time.monotonic()
    command("train.py", "-c", "configs/quickstart.json")
    run = max((ROOT / RUNS).iterdir()).relative_to(ROOT)
    minutes = (time.monotonic() - start) / 60
    command("evaluate.py", "--model", f"{run}/best_model.pth")
    shapes = DATASETS.build({"type": "Shapes", "args": {"split": "test", "length": 6}})
    for entry in shapes.entries:
        write_png(ROOT / IMAGES / f"{entry.name}.png", shapes.read(entry).image)
    command(
        *("inference.py", "--model", f"{run}/best_model.pth"),
        *("--images", str(IMAGES), "--output", str(PREDICTIONS), "--overwrite"),
    )
    scores = run / "evaluation_val"
    print(f"""
Trained in {minutes:.1f} minutes. Now look at:
  scores          {scores}/scores.json
  contact sheets  {scores}/examples.png
                  {scores}/worst.png
                  (image | truth | prediction | errors)
  confusion       {scores}/confusion_matrix.png
  predictions     {PREDICTIONS}/
  curves          .venv/bin/tensorboard --logdir {RUNS}
Then edit configs/quickstart.json, and run: .venv/bin/python train.py""")


if __name__ == "__main__":
    main()
