"""Metrics of either task, with the per-image statistics that they are computed from."""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bootstrap import NO_INTERVAL, Float64, Interval, paired_p_value, percentile_interval, resample
from .vqa.accuracy import Groups, VqaScores, percent_by_group

OVERALL, ANSWER_TYPE, QUESTION_TYPE = "overall", "answer type", "question type"
GQA = "GQA"  # its scores beside the accuracy
# Name -> key in JSON; under the key of several metrics stands a list.
CAPTION_METRICS = {
    "BLEU-1": "bleu",
    "BLEU-2": "bleu",
    "BLEU-3": "bleu",
    "BLEU-4": "bleu",
    "ROUGE-L": "rouge_l",
    "CIDEr": "cider",
}
# The same of those that other programs compute, where they are asked for.
EXTRA_METRICS = {"METEOR": "meteor", "SPICE": "spice"}


class Metric(NamedTuple):
    """One number of a report: what it is, of how many items, and its value as reported."""

    group: str
    name: str
    n: int
    value: float


@dataclass(frozen=True)
class Family:
    """M metrics that are computed from the same statistics.

    ``statistics`` is float64[J, C], of the J images out of ``n_images`` that have any; ``combine``
    turns sums of them, [..., C], into the metrics, [..., M], without rounding. ``test`` does so for
    the p-value: there a mean divides by the true number of items, not by the number drawn, or else
    a few questions that are all answered better would look as certain as a thousand.
    """

    metrics: list[Metric]
    statistics: Float64
    n_images: int
    combine: Callable[[Float64], Float64]
    test: Callable[[Float64], Float64]


class Resampling(NamedTuple):
    """How intervals are found: how many resamples, from which seed, at which confidence."""

    n: int = 1000
    seed: int = 0
    confidence: float = 0.95


class Difference(NamedTuple):
    """A metric of one file minus that of another, with its interval and p-value.

    ``standard_error`` is that of the difference, by the same resamples.
    """

    metric: Metric
    other: float
    difference: float
    interval: Interval
    p_value: float
    standard_error: float


def vqa_families(scores: VqaScores) -> list[Family]:
    """The overall accuracy, that of each answer type and each question type, and GQA's scores."""
    image = number_images(scores.image_ids)
    n_images = int(image.max(initial=-1)) + 1
    everything = Groups([OVERALL], np.zeros(len(image), np.int32))
    kinds = (
        (OVERALL, everything),
        (ANSWER_TYPE, scores.answer_type),
        (QUESTION_TYPE, scores.question_type),
    )
    families = []
    for kind, groups in kinds:
        values = percent_by_group(scores.accuracy, groups)
        for name, questions in questions_by_group(groups):
            metric = Metric(kind, name, len(questions), values[name])
            families.append(accuracy_family(metric, scores.accuracy, image, questions))
    for name, means in scores.means.items():
        metric = Metric(GQA, name, len(means.row), means.percent)
        families.append(mean_family(metric, image[means.row], means.value, n_images))
    return families


def number_images(image_ids: Sequence[Hashable]) -> NDArray[np.int64]:
    """The number of each question's image, by first occurrence, int64[N]."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(i, len(numbers)) for i in image_ids], np.int64)


def accuracy_family(
    metric: Metric,
    accuracy: NDArray[np.floating[Any]],
    image: NDArray[np.int64],
    questions: NDArray[np.intp] | slice = slice(None),
) -> Family:
    """The mean accuracy of some questions, all by default.

    ``accuracy`` [N], fractions, and ``image`` int64[N], as numbered, are of all questions.
    """
    _, row = np.unique(image[questions], return_inverse=True)
    n_images = int(image.max(initial=-1)) + 1
    return mean_family(metric, row.reshape(-1), accuracy[questions], n_images)


def mean_family(
    metric: Metric, row: NDArray[np.int64], values: NDArray[np.floating[Any]], n_images: int
) -> Family:
    """A metric that is the mean of these values, in percent; ``row`` is the image of each."""
    # Rounded, or else images with the same answers in another order would be distinct.
    n_rows = n_images if metric.group == GQA else 0  # whose questions may differ between files
    total = np.bincount(row, values, n_rows).round(9)
    counts = np.bincount(row, minlength=n_rows).astype(np.float64)
    test = partial(percentage_of, max(1, metric.n))
    statistics = np.stack([total, counts], axis=1)
    return Family([metric], statistics, n_images, mean_percentage, test)


def questions_by_group(groups: Groups) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Each group's name and the rows of its questions, in order."""
    if not groups.names:
        return
    order = np.argsort(groups.member, kind="stable")
    ends = np.cumsum(np.bincount(groups.member, minlength=len(groups.names)))
    yield from zip(groups.names, np.split(order, ends[:-1]), strict=True)


def mean_percentage(sums: Float64) -> Float64:
    """The mean accuracy from sums [..., 2] of accuracies and of questions; NaN without any."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(100 * sums[..., :1] / sums[..., 1:])


def percentage_of(n_questions: int, sums: Float64) -> Float64:
    """Sums [..., 2] of accuracies and of questions as a percentage of ``n_questions``."""
    return 100 * sums[..., :1] / n_questions


def find_intervals(families: list[Family], resampling: Resampling) -> list[Interval]:
    """The interval of every metric, family by family."""
    intervals = []
    for k, family in enumerate(families):
        sums = resample(family.statistics, family.n_images, resampling.n, [resampling.seed, k])
        intervals += metric_intervals(family, family.combine(sums), resampling)
    return intervals


def metric_intervals(family: Family, values: Float64, resampling: Resampling) -> list[Interval]:
    """The interval of each metric's resampled values, [R, M]; none for what one image has alone."""
    if len(family.statistics) < 2:
        return [NO_INTERVAL] * len(family.metrics)
    return [percentile_interval(column, resampling.confidence) for column in values.T]


def compare(
    families: list[Family], others: list[Family], resampling: Resampling
) -> list[Difference]:
    """How the metrics differ from another file's, on the same images drawn for both."""
    differences = []
    for k, (family, other) in enumerate(zip(families, others, strict=True)):
        both = np.concatenate([family.statistics, other.statistics], axis=1)
        sums = resample(both, family.n_images, resampling.n, [resampling.seed, k])
        n_columns = family.statistics.shape[1]
        mine, theirs = sums[:, :n_columns], sums[:, n_columns:]
        intervals = metric_intervals(
            family, family.combine(mine) - family.combine(theirs), resampling
        )
        tested = family.test(mine) - family.test(theirs)
        exact = family.combine(family.statistics.sum(0)) - family.combine(other.statistics.sum(0))
        for m, metric in enumerate(family.metrics):
            difference, p_value = float(exact[m]), paired_p_value(float(exact[m]), tested[:, m])
            error = float(np.std(tested[:, m]))
            before = other.metrics[m].value
            if math.isnan(difference):  # of a metric that cannot be resampled
                difference, p_value = metric.value - before, math.nan
            differences.append(Difference(metric, before, difference, intervals[m], p_value, error))
    return differences
