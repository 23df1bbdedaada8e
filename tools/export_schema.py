"""Write configs/schema.json, from which an editor completes and explains a config's keys."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import train  # noqa: E402, F401 - registers everything a config may name
from utils.schema import schema  # noqa: E402

TARGET = ROOT / "configs" / "schema.json"


def text() -> str:
    """The schema as it is written."""
    whole = schema()
    loose = {key: for_editors(whole[key], key) for key in ("properties", "$defs")}
    return json.dumps(whole | loose, indent=1, ensure_ascii=False) + "\n"


def for_editors(part: Any, key: str = "") -> Any:
    """Without what sections must have: a file that extends another leaves that to the other."""
    if isinstance(part, list):
        return [for_editors(each, key) for each in part]
    if not isinstance(part, dict) or key in ("if", "default"):
        return part
    names = {name: each for name, each in part.items() if name != "required" or key == "properties"}
    return {name: for_editors(each, name) for name, each in names.items()}


if __name__ == "__main__":
    TARGET.write_text(text())
    print(f"{TARGET.relative_to(ROOT)} written")
