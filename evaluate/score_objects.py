"""Evaluations and comparisons as JSON objects."""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

from .bootstrap import Interval
from .comparison import Comparison
from .evaluation import Evaluation
from .metrics import (
    ANSWER_TYPE,
    CAPTION_METRICS,
    EXTRA_METRICS,
    GQA,
    OVERALL,
    QUESTION_TYPE,
    Difference,
    Metric,
    Resampling,
)
from .power import items_needed, smallest_found
from .vqa.accuracy import VqaScores

T = TypeVar("T")

# Decimals of resampled numbers; their sampling error is far larger.
DIGITS = 6


def evaluation_object(evaluation: Evaluation) -> dict[str, Any]:
    """The scores alone: exactly the keys that other programs rely on."""
    scores = evaluation.scores
    found: dict[str, Any] = {"task": evaluation.task, "n": evaluation.n}
    if isinstance(scores, VqaScores):
        found["overall"] = scores.overall
        found["per_answer_type"] = scores.per_answer_type
        found["per_question_type"] = scores.per_question_type
        if scores.distribution is not None:
            means = {name: each.percent for name, each in scores.means.items()}
            found["gqa"] = {**means, "distribution": round(scores.distribution, 2)}
    else:
        found |= arrange(evaluation.metrics, [metric.value for metric in evaluation.metrics])
    return {**found, "signature": evaluation.signature}


def arrange(metrics: Sequence[Metric], values: Sequence[T]) -> dict[str, Any]:
    """Values, one a metric, under the keys of ``evaluation_object``."""
    pairs = list(zip(metrics, values, strict=True))
    if pairs[0][0].name != OVERALL:  # the first metric of VQA
        groups = dict.fromkeys(metric.group for metric in metrics)
        found = {group: arrange_captions(pairs, group) for group in groups}
        whole = found.pop(OVERALL)
        return {**whole, "per_domain": found} if found else whole
    gqa = {metric.name: value for metric, value in pairs if metric.group == GQA}
    return {
        "overall": pairs[0][1],
        "per_answer_type": {m.name: value for m, value in pairs if m.group == ANSWER_TYPE},
        "per_question_type": {m.name: value for m, value in pairs if m.group == QUESTION_TYPE},
        **({"gqa": gqa} if gqa else {}),
    }


def arrange_captions(pairs: list[tuple[Metric, T]], group: str) -> dict[str, Any]:
    """The values of the caption metrics of one group; of BLEU a list of four."""
    keys = CAPTION_METRICS | EXTRA_METRICS
    found: dict[str, list[T]] = {}
    for metric, value in pairs:
        if metric.group == group:
            found.setdefault(keys[metric.name], []).append(value)
    return {key: each if len(each) > 1 else each[0] for key, each in found.items()}


def interval_object(interval: Interval) -> list[float | None]:
    """The interval as a list; null where there is none."""
    return [number(end) for end in interval]


def number(value: float) -> float | None:
    """A resampled number; null where there is none."""
    return None if math.isnan(value) else round(value, DIGITS)


def bootstrap_object(
    evaluation: Evaluation, intervals: Sequence[Interval], resampling: Resampling
) -> dict[str, Any]:
    """The intervals of an evaluation, and how they were found."""
    return {
        **resampling._asdict(),
        "intervals": arrange(evaluation.metrics, [interval_object(i) for i in intervals]),
    }


def difference_object(difference: Difference) -> dict[str, Any]:
    """One metric's difference."""
    return {
        "value": difference.metric.value,
        "against": difference.other,
        "difference": round(difference.difference, DIGITS),
        "interval": interval_object(difference.interval),
        "p_value": number(difference.p_value),
        "smallest_found": number(smallest_found(difference.standard_error)),
        "n_needed": items_needed(
            difference.metric.n, difference.difference, difference.standard_error
        ),
    }


def comparison_object(comparison: Comparison, resampling: Resampling) -> dict[str, Any]:
    """A comparison with another file."""
    differences = [difference_object(difference) for difference in comparison.differences]
    metrics = [difference.metric for difference in comparison.differences]
    return {
        "file": str(comparison.other.path),
        **resampling._asdict(),
        "differences": arrange(metrics, differences),
        "changed_most": {
            "question_types": [change._asdict() for change in comparison.question_types],
            "images": [change._asdict() for change in comparison.images],
        },
    }
