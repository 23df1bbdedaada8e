"""Every learning-rate schedule a config may name; importing this package registers them."""

from utils.schedulers import torch_schedules  # noqa: F401 - registers torch's
from utils.schedulers.cosine import Cosine
from utils.schedulers.one_cycle import OneCycle
from utils.schedulers.plateau import Plateau
from utils.schedulers.poly import Poly
from utils.schedulers.registry import SCHEDULERS
from utils.schedulers.schedule import Formula, Schedule
from utils.schedulers.steps import MultiStep, Step

__all__ = [
    "SCHEDULERS",
    "Cosine",
    "Formula",
    "MultiStep",
    "OneCycle",
    "Plateau",
    "Poly",
    "Schedule",
    "Step",
]
