"""The lists that docs/augmentation.md shows are built and run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dataloaders import TRANSFORMS, make_dataset

PAGE = (Path(__file__).parent.parent / "docs" / "augmentation.md").read_text()
LISTS = [
    json.loads("{" + text + "}")
    for text in re.findall(r'```json\n("transforms".*?)```', PAGE, re.S)
]


def test_the_page_has_them():
    assert len(LISTS) == 3


@pytest.mark.parametrize("number", range(len(LISTS)))
def test_they_run(number):
    section = {"type": "Shapes", "args": {"length": 4, "size": 96}}
    dataset = make_dataset(section, None, LISTS[number]["transforms"], training=True)
    items = [dataset[(0, index)] for index in range(4)]
    assert len({tuple(item["image"].shape) for item in items}) == 1
    assert all(("image2" in item) == ("SecondView" in str(LISTS[number])) for item in items)


@pytest.mark.parametrize("name", re.findall(r"`([A-Z]\w+)`", PAGE))
def test_every_name_on_the_page_is_one(name):
    assert name in TRANSFORMS
