"""The label maps a batch may hold, by name: "semantic" class ids and "instance" object ids."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from utils.errors import UserError

INSTANCE_IGNORE = -1


def ignored_label(name: str, ignore_index: int) -> int:
    """The label that counts for nothing in a target: -1 in instance maps, the run's elsewhere."""
    return INSTANCE_IGNORE if name == "instance" else ignore_index


def pick(target: Tensor | dict[str, Tensor], name: str) -> Tensor:
    """The target map of that name; the only one where a data set gives but one."""
    return target[name] if isinstance(target, dict) else target


def require_targets(sections: Iterable[dict], given: tuple[str, ...], dataset: str) -> None:
    """Refuse loss and metric sections that read a target the data set does not give.

    Args:
        sections: Each with "type" and "target".
        given: Targets of the data set.
        dataset: Its name, for the message.

    Raises:
        UserError: Naming the first of them.
    """
    for section in sections:
        if section["target"] not in given:
            raise UserError(
                f"{section['type']} reads the target {section['target']!r}; {dataset} gives "
                f'{" and ".join(map(repr, given))}: set the data set\'s "target", or another '
                '"target" in the section'
            )
