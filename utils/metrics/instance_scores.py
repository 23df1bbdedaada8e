"""How well objects are found, counted and outlined."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from base.base_metric import METRICS, BaseMetric
from utils.contingency import Contingency, contingency
from utils.metrics.counting import UNIT, check_maps, refuse_class, refuse_negative
from utils.metrics.partitions import adapted_rand_error, variation
from utils.metrics.ranking import LEVELS, area, count_ranked, object_scores

MEANS = ("SBD", "Foreground_Dice", "AP50", "AP", "Adapted_Rand_Error", "VoI_Split", "VoI_Merge")
TWENTIETHS = np.arange(10, 20)  # the IoUs 0.5, 0.55, ..., 0.95, compared as whole numbers


@METRICS.register
class InstanceScores(BaseMetric):
    """Scores of object maps: ids of 1 and above are objects, 0 is background.

    Two objects match at t if their IoU is above t; as objects of one map do not overlap, from
    t = 0.5 on each has one match at most. With TP matches, FP found objects and FN true objects
    without one:

        SBD = min(mean over found, mean over true objects of the best Dice with one of the other)
        DiC = |found objects - true objects|
        Foreground_Dice = Dice of all objects together
        AP50 = TP / (TP + FP + FN) at 0.5, AP = its mean over 0.5, 0.55, ..., 0.95
        Adapted_Rand_Error = 1 - F-score of the pairs of pixels that share an object, both within
            true objects; a pixel found as background shares its object with none
        VoI_Split = H(found | truth), VoI_Merge = H(truth | found), in bits, background as any
            object; VoI is their sum

    are of one image, and their means over images are given. From counts over all images:

        Precision = TP / (TP + FP), Recall = TP / (TP + FN), F1 = RQ, at 0.5
        SQ = mean IoU of the matches, RQ = TP / (TP + FP / 2 + FN / 2), PQ = SQ RQ

    Without an object in truth and labels an image has SBD, Dice and AP 1, for nothing is the right
    answer; with some in only one of them 0. Adapted_Rand_Error is undefined (NaN) without a true
    object and the last line's scores where they are 0 / 0; an image of which a score is undefined
    is left out of its mean, one without a valid pixel out of all. Ignored pixels belong to no
    object of either map. Runs on the CPU.

    SBD, DiC: Minervini et al., Finely-grained annotated datasets for image-based plant phenotyping,
    Pattern Recognition Letters 2016 (there DiC keeps its sign). AP: 2018 Data Science Bowl. PQ:
    Kirillov et al., Panoptic Segmentation, 2019 (arXiv:1801.00868), here of one class.
    Adapted_Rand_Error: Arganda-Carreras et al., Crowdsourcing the creation of image segmentation
    algorithms for connectomics, Frontiers in Neuroanatomy 2015. VoI: Meila, Comparing clusterings,
    Journal of Multivariate Analysis 2007.

    Args:
        num_classes: Classes of the data set; objects are scored whatever their class.
        ignore_index: Target value that is not counted.
        scores: Name of an output (B, 1, H, W) of logits; the mean of their probabilities over a
            found object is the score it is ranked by, in steps of 0.001. With it Ranked_AP50 and
            Ranked_AP are given: the area under the curve of precision over recall, of all images.
    Shape:
        labels (B, H, W), target (B, H, W).
    Raises:
        ValueError: If the maps differ in shape, or the output of `scores` is missing.
        UserError: From `compute`, if an id was negative.
    """

    target = "instance"
    counted = ("sums", "images", "counts", "ranked", "negative")

    def __init__(self, num_classes: int, ignore_index: int, scores: str | None = None):
        refuse_class(ignore_index, num_classes)
        self.ignore_index, self.scores = ignore_index, scores
        self.reset()

    def reset(self) -> None:
        self.sums = torch.zeros(len(MEANS), dtype=torch.int64)  # in 1 / UNIT
        self.images = torch.zeros(len(MEANS), dtype=torch.int64)
        # of all images: differences in count, found, true, matched objects, the matches' IoU
        self.counts = torch.zeros(5, dtype=torch.int64)
        self.ranked = torch.zeros(1 + len(TWENTIETHS), LEVELS, dtype=torch.int64)
        self.negative = torch.zeros((), dtype=torch.int64)

    def update(
        self,
        labels: Tensor,
        target: Tensor,
        outputs: dict[str, Tensor] | None = None,
        meta: list[dict] | None = None,
    ) -> None:
        check_maps(labels, target)
        logits = None if self.scores is None else self._logits(outputs or {}, target)
        labels, target = labels.cpu().numpy(), target.cpu().numpy()
        valid = target != self.ignore_index
        for index, inside in enumerate(valid):
            if not inside.any():
                continue
            found = labels[index][inside]
            table = contingency(found, target[index][inside])
            hits = self._count(table)
            if logits is not None:
                scores = object_scores(logits[index, 0][torch.from_numpy(inside)], found, table)
                self.ranked += count_ranked(scores, table, hits)

    def _logits(self, outputs: dict[str, Tensor], target: Tensor) -> Tensor:
        """What ranks objects, (B, 1, H, W)."""
        if self.scores not in outputs:
            raise ValueError(
                f"InstanceScores ranks by the output {self.scores!r}; the outputs are "
                f"{list(outputs)}"
            )
        logits, expected = outputs[self.scores].cpu(), (len(target), 1, *target.shape[1:])
        if logits.shape != expected:
            raise ValueError(
                f"the output {self.scores!r} is {tuple(logits.shape)}; expected {expected}, one "
                "logit a pixel"
            )
        return logits

    def _count(self, table: Contingency) -> np.ndarray:
        """Take in one image; which pairs of objects match at each IoU, (N, 10) bool."""
        pairs = table.objects()
        both, sizes = pairs.pixels, table.found_sizes[pairs.found] + table.truth_sizes[pairs.truth]
        found, truth = table.found_ids != 0, table.truth_ids != 0
        count = found.sum(), truth.sum()
        hits = 20 * both[:, None] > TWENTIETHS * (sizes - both)[:, None]
        matches = hits.sum(0)
        dice = 2 * both / sizes
        precision = ratio(matches, sum(count) - matches)
        foreground = table.found_sizes[found].sum() + table.truth_sizes[truth].sum()
        values = np.array(
            [
                min(mean_best(dice, pairs.found, found), mean_best(dice, pairs.truth, truth)),
                ratio(2 * both.sum(), foreground),
                precision[0],
                precision.mean(),
                adapted_rand_error(table),
                *variation(table),
            ]
        )
        defined = ~np.isnan(values)
        self.images += torch.from_numpy(defined)
        self.sums += torch.from_numpy(np.rint(np.where(defined, values, 0) * UNIT).astype(np.int64))
        overlap = round((both / (sizes - both))[hits[:, 0]].sum() * UNIT)
        counts = [abs(int(count[0]) - int(count[1])), *map(int, count), int(matches[0]), overlap]
        self.counts += torch.tensor(counts)
        for ids, each in (
            (table.found_ids, table.found_sizes),
            (table.truth_ids, table.truth_sizes),
        ):
            self.negative += int(each[ids < 0].sum())
        return hits

    def compute(self) -> dict[str, float]:
        refuse_negative(int(self.negative), self.ignore_index)
        means = dict(zip(MEANS, (self.sums.double() / self.images / UNIT).tolist(), strict=True))
        difference, found, true, matches, overlap = self.counts.double()
        scores = {
            "SBD": means.pop("SBD"),
            "DiC": difference / self.images[0],
            **means,
            "VoI": means["VoI_Split"] + means["VoI_Merge"],
            "PQ": 2 * overlap / UNIT / (found + true),
            "SQ": overlap / UNIT / matches,
            "RQ": 2 * matches / (found + true),
            "Precision": matches / found,
            "Recall": matches / true,
            "F1": 2 * matches / (found + true),
        }
        if self.scores is not None:
            areas = area(self.ranked.numpy(), int(true))
            scores |= {"Ranked_AP50": areas[0], "Ranked_AP": areas.mean()}
        return {name: float(value) for name, value in scores.items()}


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 1 where both are 0: nothing was the right answer."""
    return np.where(whole == 0, 1.0, part / np.maximum(whole, 1))


def mean_best(dice: np.ndarray, places: np.ndarray, is_object: np.ndarray) -> float:
    """Mean over the objects of one map of their best Dice.

    Args:
        dice: (N,) of each pair.
        places: (N,) the object of each pair in that map.
        is_object: Which of the map's ids are objects.
    """
    best = np.zeros(len(is_object))
    np.maximum.at(best, places, dice)
    return float(ratio(best.sum(), is_object.sum()))
