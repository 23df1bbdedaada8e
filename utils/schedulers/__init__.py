"""Every learning-rate schedule a config may name; importing this package registers them."""

from utils.schedulers.poly import Poly
from utils.schedulers.registry import SCHEDULERS

__all__ = ["SCHEDULERS", "Poly"]
