"""What `--import` brings into a process of its own: the model of tests/processes.py."""

from models import MODELS
from tests.processes import GroupNormed

MODELS.register(GroupNormed)
