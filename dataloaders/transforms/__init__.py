"""Paired augmentation of images and their label maps; importing this package registers it."""

from base.base_transform import TRANSFORMS, BaseTransform
from dataloaders.transforms.colour import BrightnessContrast, ColorJitter, Gamma, Grayscale
from dataloaders.transforms.compose import Compose, OneOf, RandomApply, SecondView
from dataloaders.transforms.crops import CenterCrop, RandomCrop, RandomResizedCrop, Warp
from dataloaders.transforms.filters import Blur, Noise
from dataloaders.transforms.geometry import (
    RandomHorizontalFlip,
    RandomRotate90,
    RandomRotation,
    RandomScale,
    RandomVerticalFlip,
    Resize,
)
from dataloaders.transforms.weather import Fog, Rain, Shadow, Snow, SunFlare

__all__ = [
    "TRANSFORMS",
    "BaseTransform",
    "Blur",
    "BrightnessContrast",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "Fog",
    "Gamma",
    "Grayscale",
    "Noise",
    "OneOf",
    "Rain",
    "RandomApply",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotate90",
    "RandomRotation",
    "RandomScale",
    "RandomVerticalFlip",
    "Resize",
    "SecondView",
    "Shadow",
    "Snow",
    "SunFlare",
    "Warp",
]
