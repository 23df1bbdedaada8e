"""Lists of transforms: in order, by chance, and for a second view."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Annotated

import numpy as np

from base.base_transform import TRANSFORMS, BaseTransform
from dataloaders.transforms.geometry import Geometry, move, share
from utils.errors import UserError
from utils.sample import Sample


class Compose(BaseTransform):
    """Transforms in order; neighbours that move pixels become one warp.

    Args:
        transforms: To be called in turn.
    Raises:
        UserError: If pixels are moved after the views have parted.
    """

    def __init__(self, transforms: list[Callable]):
        self.transforms = transforms
        kinds = [type(t) for t in transforms]
        after = transforms[kinds.index(SecondView) + 1 :] if SecondView in kinds else []
        late = next(kinds_of(after, (Geometry, SecondView)), None)
        if late is not None:
            raise UserError(
                f"transforms: {type(late).__name__} stands after SecondView, where the two views "
                "have parted; move it before SecondView"
            )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        chosen = leaves(self.transforms, rng)
        for moves, steps in groupby(chosen, key=lambda step: isinstance(step, Geometry)):
            if moves:
                sample = move(list(steps), sample, rng)
                continue
            for step in steps:
                sample = step(sample, rng)
        return sample


class Choice(BaseTransform):
    """Transforms of which chance takes some.

    Args:
        transforms: Sections of transforms.
    Raises:
        ValueError: If there are none, or a SecondView is among them.
    """

    def __init__(self, transforms: list[dict]):
        if not transforms:
            raise ValueError("transforms is an empty list; give at least one section")
        self.transforms = [TRANSFORMS.build(section) for section in transforms]
        if next(kinds_of(self.transforms, SecondView), None):
            raise ValueError("a SecondView is there always or never; put it outside")

    @abstractmethod
    def choose(self, rng: np.random.Generator) -> list[Callable]:
        """Those to be called."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return Compose(self.choose(rng))(sample, rng)


@TRANSFORMS.register
class RandomApply(Choice):
    """All transforms of a list, or none.

    Args:
        transforms: Sections of transforms.
        p: How often they are applied, 0 to 1.
    Raises:
        ValueError: If the list is empty or p not in 0 to 1.
    """

    def __init__(self, transforms: list[Annotated[dict, "transform"]], p: float = 0.5):
        super().__init__(transforms)
        self.p = share(p)

    def choose(self, rng: np.random.Generator) -> list[Callable]:
        return self.transforms if rng.random() < self.p else []


@TRANSFORMS.register
class OneOf(Choice):
    """One transform of a list, each as often.

    Args:
        transforms: Sections of transforms.
    Raises:
        ValueError: If the list is empty.
    """

    def __init__(self, transforms: list[Annotated[dict, "transform"]]):
        super().__init__(transforms)

    def choose(self, rng: np.random.Generator) -> list[Callable]:
        return [self.transforms[rng.integers(len(self.transforms))]]


@TRANSFORMS.register
class SecondView(BaseTransform):
    """Copy the image as it is here, as the sample's second view, and change only the copy.

    The batch holds it as "image2". What follows in the list changes the first view alone.

    Args:
        transforms: Sections of transforms for the copy.
    Raises:
        ValueError: If one of them moves pixels, or is a SecondView.
    """

    def __init__(self, transforms: list[Annotated[dict, "transform"]]):
        self.view = Compose([TRANSFORMS.build(section) for section in transforms])
        wrong = next(kinds_of(self.view.transforms, (Geometry, SecondView)), None)
        if wrong is not None:
            raise ValueError(
                f"{type(wrong).__name__} cannot stand here, where the two views have parted; "
                "move it before SecondView"
            )

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        sample.image2 = self.view(replace(sample, maps={}), rng).image
        return sample


def leaves(transforms: Iterable[Callable], rng: np.random.Generator) -> Iterator[Callable]:
    """The transforms to be called, chances taken."""
    for transform in transforms:
        if isinstance(transform, Choice):
            yield from leaves(transform.choose(rng), rng)
        else:
            yield transform


def kinds_of(transforms: Iterable[Callable], kinds: type | tuple) -> Iterator[Callable]:
    """Those of the transforms, also inside of choices, that are of some kind."""
    for transform in transforms:
        if isinstance(transform, Choice):
            yield from kinds_of(transform.transforms, kinds)
        elif isinstance(transform, kinds):
            yield transform
