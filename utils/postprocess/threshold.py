"""Classes that must be sure of a pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from utils.postprocess.postprocessor import POSTPROCESSORS, Postprocessor, class_id
from utils.predictors.probabilities import to_probabilities


@POSTPROCESSORS.register
class Threshold(Postprocessor):
    """Let a class have a pixel only if its probability there reaches a threshold.

    A pixel goes to the most probable class that reaches its own threshold; a class without one
    always does. Where none reaches it, the pixel becomes `otherwise`. It looks at the outputs, so
    it stands before steps that change labels: what they did is lost.

    Args:
        thresholds: Least probability by class name, 0 to 1.
        otherwise: Name or id of the class where no class reaches its threshold.
        output: Name of the model's output that holds the class scores.
        class_names: Of the data set, none of objects; the program passes them.
        scores: Outputs that hold class scores; the program passes them.
    Raises:
        ValueError: If the output holds no class scores, there is no such class, or no threshold, or
            one is out of range.
    """

    def __init__(
        self,
        thresholds: dict[str, float],
        otherwise: str | int = 0,
        output: str = "out",
        class_names: Sequence[str] = (),
        scores: Sequence[str] = ("out",),
    ):
        if output not in scores:
            there = ", ".join(map(repr, scores)) or "none: the model gives embeddings, or labels"
            raise ValueError(f"output is {output!r}; the outputs with class scores are {there}")
        if not thresholds:
            raise ValueError("thresholds is empty; give a probability to a class or more")
        for name, value in thresholds.items():
            if not 0 <= value <= 1:
                raise ValueError(f"the threshold of {name!r} is {value}; give 0 to 1")
        self.thresholds = {
            class_id("thresholds", name, class_names): v for name, v in thresholds.items()
        }
        self.otherwise, self.output = class_id("otherwise", otherwise, class_names), output

    def __call__(self, labels: Tensor, outputs: dict[str, Tensor]) -> Tensor:
        probability = to_probabilities(outputs[self.output])
        least = torch.zeros(probability.shape[1], 1, 1)
        for label, value in self.thresholds.items():
            least[label] = value
        reached = probability >= least.to(probability.device)
        best, found = probability.where(reached, -1).max(dim=1)
        return found.masked_fill(best < 0, self.otherwise)
