"""Two results files on the same references: which is better, how surely, and what changed most."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .bootstrap import Float64
from .evaluation import Evaluation
from .metrics import QUESTION_TYPE, Difference, Resampling, compare
from .vqa.accuracy import VqaScores

if TYPE_CHECKING:
    from .captions.scores import CaptionScores

MOST_CHANGES = 5


class Change(NamedTuple):
    """A part of the data on which two files differ: an image or a question type.

    ``n`` items, questions or captions, with the mean score ``before`` (the other file's) and
    ``after``; ``effect`` is by how much that moves the score of the whole set.
    """

    name: Hashable
    n: int
    before: float
    after: float
    effect: float


@dataclass(frozen=True)
class Comparison:
    """An evaluation against another; the changes are those with the largest effects."""

    evaluation: Evaluation
    other: Evaluation
    differences: list[Difference]
    question_types: list[Change]
    images: list[Change]


def compare_evaluations(
    evaluation: Evaluation, other: Evaluation, resampling: Resampling
) -> Comparison:
    """Compare two evaluations on the same references."""
    # GQA's consistency needs predictions that one of the files may lack.
    first = [{family.metrics[0][:2] for family in one.families} for one in (evaluation, other)]
    mine, theirs = (
        [family for family in one.families if family.metrics[0][:2] in first[0] & first[1]]
        for one in (evaluation, other)
    )
    differences = compare(mine, theirs, resampling)
    question_types = [
        Change(d.metric.name, d.metric.n, d.other, d.metric.value, d.difference * d.metric.n / n)
        for d in differences
        if d.metric.group == QUESTION_TYPE and (n := evaluation.n)
    ]
    images = image_changes(evaluation.scores, other.scores)
    return Comparison(evaluation, other, differences, largest(question_types), largest(images))


def largest(changes: list[Change]) -> list[Change]:
    """The changes with the largest effects, in either direction, without those of none."""
    ordered = sorted(changes, key=lambda change: -abs(change.effect))
    return [change for change in ordered[:MOST_CHANGES] if change.effect]


def image_changes(
    scores: VqaScores | CaptionScores, other: VqaScores | CaptionScores
) -> list[Change]:
    """Every image's change: of its questions' accuracy in percent, or of its caption's CIDEr."""
    if isinstance(scores, VqaScores) and isinstance(other, VqaScores):
        return grouped_changes(list(scores.image_ids), 100 * scores.accuracy, 100 * other.accuracy)
    if isinstance(scores, VqaScores) or isinstance(other, VqaScores):
        raise ValueError("the two evaluations are of different tasks")
    return grouped_changes(scores.image_id.tolist(), scores.cider, other.cider)


def grouped_changes(names: list[Hashable], after: Float64, before: Float64) -> list[Change]:
    """The change of each name's items, of N items with their scores in both files, float64[N]."""
    numbers: dict[Hashable, int] = {}
    member = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
    n_items = np.bincount(member)
    old, new = np.bincount(member, before), np.bincount(member, after)
    effect = (new - old) / len(names)
    most = np.argsort(-np.abs(effect), kind="stable")[:MOST_CHANGES]
    keys = list(numbers)
    return [
        Change(
            keys[k],
            int(n_items[k]),
            float(old[k] / n_items[k]),
            float(new[k] / n_items[k]),
            float(effect[k]),
        )
        for k in most.tolist()
    ]
