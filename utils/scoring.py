"""How a run's outputs are predicted, labelled and scored: the config's word, or the loss's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from torch import Tensor

from base.base_loss import LOSSES
from utils.clustering import LABELERS
from utils.errors import UserError
from utils.losses.weighted_sum import loss_sections
from utils.metrics import METRICS
from utils.postprocess import POSTPROCESSORS
from utils.predictors import PREDICTORS
from utils.registry import parameters

Postprocess = Callable[[Tensor, dict[str, Tensor]], Tensor]


def with_defaults(config: dict) -> dict:
    """The config with predictor, labeler and metric filled in from its first loss.

    Raises:
        UserError: If a name is unknown, or the labeler cannot work without a mask.
    """
    first = loss_sections(config["loss"])[0]
    loss = LOSSES[first["type"]]
    full = dict(config)
    full["predictor"] = PREDICTORS.resolve(config["predictor"] or loss.predictor)
    labeler = LABELERS.resolve(config["labeler"] or loss.labeler)
    if config["labeler"] is None and first["output"] != "out":
        labeler["args"]["output"] = first["output"]
    if LABELERS[labeler["type"]].needs_mask:
        raise UserError(
            f"labeler: {labeler['type']} works from known pixels, which only a call from Python "
            "gives it; take one that needs none, such as MeanShift"
        )
    full["labeler"] = told_by_loss(labeler, config["loss"])
    metric = config["metric"] or {**loss.metric, "target": first["target"]}
    full["metric"] = [
        METRICS.resolve(m) for m in (metric if isinstance(metric, list) else [metric])
    ]
    for section in full["metric"]:
        section["target"] = section.get("target") or METRICS[section["type"]].target
    return full


def told_by_loss(labeler: dict, losses: str | dict | list) -> dict:
    """The labeler's section with the arguments that the loss on the same output tells it."""
    return with_told(labeler, told_of(losses, labeler["args"].get("output", "out")))


def told_of(losses: str | dict | list, output: str) -> dict[str, float]:
    """The values of `tells_labeler` of the losses on an output."""
    return {
        name: section["args"].get(name, parameters(LOSSES[section["type"]])[name].default)
        for section in loss_sections(losses)
        if section["output"] == output
        for name in LOSSES[section["type"]].tells_labeler
    }


def with_told(labeler: dict, told: dict[str, float]) -> dict:
    """A labeler's section with the told arguments that it takes; what it sets itself stays."""
    takes = parameters(LABELERS[labeler["type"]])
    told = {name: value for name, value in told.items() if name in takes}
    return {**labeler, "args": {**told, **labeler["args"]}}


def make_postprocess(
    sections: Sequence[dict], class_names: Sequence[str], target: str, scores: Sequence[str]
) -> Postprocess | None:
    """The steps of a config's `postprocess` as one function of (labels, outputs), or None.

    Args:
        sections: Of the steps, in order.
        class_names: Of the data set.
        target: "semantic" where labels are class ids, "instance" where they are object ids.
        scores: Names of the outputs that hold class scores.

    Raises:
        UserError: If a step refuses its arguments.
    """
    names = class_names if target == "semantic" else ()
    steps = [POSTPROCESSORS.build(s, class_names=names, scores=scores) for s in sections]
    if not steps:
        return None
    return lambda labels, outputs: functools.reduce(
        lambda found, step: step(found, outputs), steps, labels
    )
