"""Names of a model's further outputs."""

from __future__ import annotations


def beside(name: str, output: str) -> str:
    """Name of a further output, "aux" or "teacher", of the head that gives `output`."""
    return name if output == "out" else f"{name}_{output}"
