"""The objective of a run: one loss, or a weighted sum of several on one or more heads."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from base.base_loss import LOSSES
from utils.errors import UserError
from utils.outputs import beside
from utils.targets import ignored_label, pick


def loss_sections(section: str | dict | list) -> list[dict]:
    """The `loss` key of a config, a name, a section or a list of them, as a list of sections."""
    sections = [LOSSES.resolve(s) for s in (section if isinstance(section, list) else [section])]
    for part in sections:
        part.setdefault("weight", 1.0)
        part.setdefault("output", "out")
        if part["weight"] < 0:
            raise UserError(f"loss {part['type']}: weight is {part['weight']}; it is not negative")
        part["target"] = part.get("target") or LOSSES[part["type"]].target
    return sections


class WeightedSum(nn.Module):
    """Every loss of a config's `loss` key, each on its own output and target.

    Args:
        section: The `loss` key.
        num_classes: Classes of the data set.
        ignore_index: The run's ignored label; instance targets ignore -1.
        class_counts: Pixels of each class in the training labels, where known.

    Attributes:
        out_channels: What the model must give: channels of "out", or of each named output.
        heads: Channels of each output that is trained, by name.
        sections: The losses' sections, filled in.
        reads: "type" and "target" of every target map that a loss reads.

    Raises:
        UserError: If two losses read one output with different numbers of channels.
    """

    def __init__(
        self,
        section: str | dict | list,
        num_classes: int,
        ignore_index: int,
        class_counts: list[int] | None = None,
    ):
        super().__init__()
        self.sections = loss_sections(section)
        if not self.sections:
            raise UserError("loss: the list is empty; name at least one loss")
        self.losses = nn.ModuleList()
        self.heads = channels = {}
        for part in self.sections:
            loss = LOSSES.build(
                {"type": part["type"], "args": part["args"]},
                num_classes=num_classes,
                ignore_index=ignored_label(part["target"], ignore_index),
                class_counts=class_counts,
            )
            self.losses.append(loss)
            if channels.setdefault(part["output"], loss.out_channels) != loss.out_channels:
                raise UserError(
                    f"loss: {part['type']} reads {loss.out_channels} channels of output "
                    f"{part['output']!r}, another loss {channels[part['output']]}"
                )
        self.out_channels = channels["out"] if set(channels) == {"out"} else channels
        self.reads = [
            {"type": part["type"], "target": name}
            for part, loss in zip(self.sections, self.losses, strict=True)
            for name in (part["target"], *loss.maps)
        ]

    def check_outputs(self, given: Collection[str]) -> None:
        """Refuse a model whose outputs, by name, lack one that a loss cannot do without.

        Raises:
            UserError: Saying what gives it.
        """
        for part, loss in zip(self.sections, self.losses, strict=True):
            loss.check_outputs([n for n in loss.reads if beside(n, part["output"]) in given])

    def forward(
        self, outputs: dict[str, Tensor], target: Tensor | dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Weighed terms by name; their sum is the objective.

        A term of another output than "out" is called `<output>_<name>`; a name that comes again
        gets a number.
        """
        terms: dict[str, Tensor] = {}
        for part, loss in zip(self.sections, self.losses, strict=True):
            chosen = {"out": outputs[part["output"]]}
            for name in ("aux", *loss.reads):
                if (given := beside(name, part["output"])) in outputs:
                    chosen[name] = outputs[given]
            maps = {name: target[name] for name in loss.maps}
            for name, term in loss(chosen, pick(target, part["target"]), **maps).items():
                name = name if part["output"] == "out" else f"{part['output']}_{name}"
                again = sum(key.split("#")[0] == name for key in terms)
                terms[f"{name}#{again + 1}" if again else name] = part["weight"] * term
        return terms
