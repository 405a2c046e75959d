"""Evaluations and comparisons as tables."""

import math
from collections.abc import Sequence
from pathlib import Path

from .bootstrap import NO_INTERVAL, Interval
from .comparison import Change, Comparison
from .evaluation import Evaluation
from .metrics import OVERALL, QUESTION_TYPE, Difference, Metric, Resampling
from .power import LEVEL, POWER, items_needed, smallest_found
from .table import DASH, Table
from .vqa.accuracy import VqaScores

# Percentages are given to two decimals, as officially, and fractions to four.
DECIMALS = {"vqa": 2, "caption": 4}
# The metrics whose differences are planned for.
HEADLINES = {"vqa": (OVERALL,), "caption": ("BLEU-4", "CIDEr")}
WHAT = {"vqa": "VQA accuracy, percent", "caption": "Caption scores, fractions"}


def score_table(
    evaluations: Sequence[Evaluation],
    intervals: Sequence[Sequence[Interval]] | None,
    *,
    apart: bool,
) -> Table:
    """A row a metric, a column a file; beside each its interval, if there is one.

    ``apart`` gives the ends of an interval columns of their own.
    """
    first = evaluations[0]
    decimals = DECIMALS[first.task]
    header = ["metric", "of", "n"]
    for name in short_names([evaluation.path for evaluation in evaluations]):
        header.append(name)
        if intervals is not None:
            header += [f"{name} low", f"{name} high"] if apart else ["interval"]
    rows = []
    # Where a file stands on the metrics of the first; GQA's consistency one of them may lack.
    places = [{metric[:2]: k for k, metric in enumerate(e.metrics)} for e in evaluations]
    for metric in (first.metrics[k] for k in display_order(first.metrics)):
        row = first_cells(metric)
        for f, evaluation in enumerate(evaluations):
            k = places[f].get(metric[:2])
            row.append(DASH if k is None else f"{evaluation.metrics[k].value:.{decimals}f}")
            if intervals is not None:
                interval = NO_INTERVAL if k is None else intervals[f][k]
                row += interval_cells(interval, decimals, apart=apart)
        rows.append(row)
    about = [*lost_note(first), *dropped_note(first), *distribution_note(evaluations), first.note]
    notes = [*filter(None, about), first.signature]
    return Table(header, rows, left=2, title=WHAT[first.task], notes=notes)


def lost_note(evaluation: Evaluation) -> list[str]:
    """A note, if the annotations let no answer at all score on some questions."""
    scores = evaluation.scores
    if not isinstance(scores, VqaScores) or not scores.n_lost:
        return []
    return [
        f"no answer can score on {scores.n_lost} of the {evaluation.n} questions: officially a "
        "person's answer counts only if another person gave it too, told apart by answer_id"
    ]


def dropped_note(evaluation: Evaluation) -> list[str]:
    """A note, if reference captions do not count."""
    scores = evaluation.scores
    if isinstance(scores, VqaScores) or not scores.n_dropped[0]:
        return []
    n_captions, n_images = scores.n_dropped
    return [
        f"{n_captions} reference captions are left out because they are marked as rejected or "
        f"precanned, and {n_images} images that have no other"
    ]


def distribution_note(evaluations: Sequence[Evaluation]) -> list[str]:
    """GQA's distance of distributions, of each file; it is no mean, so it has no interval."""
    found = [
        f"{evaluation.scores.distribution:.2f}"
        for evaluation in evaluations
        if isinstance(evaluation.scores, VqaScores) and evaluation.scores.distribution is not None
    ]
    return [f"distribution (lower is better): {', '.join(found)}"] if found else []


def display_order(metrics: Sequence[Metric]) -> list[int]:
    """The rows to show: question types by number of questions, the others in their order."""
    rows = range(len(metrics))
    return sorted(rows, key=lambda k: (metrics[k].group == QUESTION_TYPE) * (1e9 - metrics[k].n))


def first_cells(metric: Metric) -> list[str]:
    """The cells that name a metric."""
    if metric.group == OVERALL:
        return [printable(metric.name), "", str(metric.n)]
    return [metric.group, printable(metric.name), str(metric.n)]


def interval_cells(interval: Interval, decimals: int, *, apart: bool) -> list[str]:
    """An interval in one cell, or its ends in two; empty where there is none."""
    if math.isnan(interval.low):
        return ["", ""] if apart else [""]
    low, high = (f"{end:.{decimals}f}" for end in interval)
    return [low, high] if apart else [f"{low} – {high}"]


def short_names(paths: Sequence[Path]) -> list[str]:
    """A name for each results file: its run folder's, or its own; the whole path if need be."""
    names = [path.resolve().parent.name if path.stem == "preds" else path.stem for path in paths]
    if len(set(names)) < len(names) or "" in names:
        names = [str(path) for path in paths]
    return [printable(name) for name in names]


def printable(text: str) -> str:
    """Text that fits into a cell: at most 60 characters, the unprintable ones escaped."""
    escaped = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text[:61]
    )
    return escaped if len(escaped) <= 60 else escaped[:57] + "..."


def comparison_table(comparison: Comparison, *, apart: bool) -> Table:
    """A row a metric: both values, their difference with its interval, and the p-value."""
    evaluation, other = comparison.evaluation, comparison.other
    decimals = DECIMALS[evaluation.task]
    names = short_names([evaluation.path, other.path])
    ends = ["difference low", "difference high"] if apart else ["interval"]
    header = ["metric", "of", "n", *names, "difference", *ends, "p"]
    order = display_order([difference.metric for difference in comparison.differences])
    rows = [difference_cells(comparison.differences[k], decimals, apart=apart) for k in order]
    title = f"{WHAT[evaluation.task]}: {names[0]} against {names[1]}"
    headlines = [d for d in comparison.differences if d.metric.name in HEADLINES[evaluation.task]]
    notes = [power_note(difference, evaluation.task) for difference in headlines]
    return Table(header, rows, left=2, title=title, notes=notes)


def power_note(difference: Difference, task: str) -> str:
    """How large a difference so many items show, and how many would show one as large as this."""
    decimals, what = DECIMALS[task], {"vqa": "questions", "caption": "images"}[task]
    metric, found = difference.metric, smallest_found(difference.standard_error)
    note = (
        f"power ({metric.name}): {metric.n:,} {what} like these show a difference of "
        f"{found:.{decimals}f} or more at p < {LEVEL} with a probability of {POWER:.0%}"
    )
    needed = items_needed(metric.n, difference.difference, difference.standard_error)
    if needed is None:
        return note
    about = round(needed, 2 - len(str(needed)))  # two digits: it is no more certain than that
    return f"{note}; one of {abs(difference.difference):.{decimals}f} takes about {about:,}"


def difference_cells(difference: Difference, decimals: int, *, apart: bool) -> list[str]:
    """A row of the comparison table."""
    return [
        *first_cells(difference.metric),
        f"{difference.metric.value:.{decimals}f}",
        f"{difference.other:.{decimals}f}",
        f"{difference.difference:+.{decimals}f}",
        *interval_cells(difference.interval, decimals, apart=apart),
        "" if math.isnan(difference.p_value) else f"{difference.p_value:.4f}",
    ]


def change_table(what: str, changes: Sequence[Change], comparison: Comparison) -> Table:
    """What changed most: a row a question type or image."""
    decimals = DECIMALS[comparison.evaluation.task]
    names = short_names([comparison.evaluation.path, comparison.other.path])
    rows = [
        [
            printable(str(change.name)),
            str(change.n),
            f"{change.after:.{decimals}f}",
            f"{change.before:.{decimals}f}",
            f"{change.effect:+.{decimals + 2}f}",
        ]
        for change in changes
    ]
    measure = "" if comparison.evaluation.task == "vqa" else " (CIDEr)"
    title = f"{what} that changed most{measure}"
    return Table(
        [what.lower().removesuffix("s"), "n", *names, "effect on overall"], rows, title=title
    )


def resampling_note(evaluation: Evaluation, resampling: Resampling) -> str:
    """How the intervals were found."""
    return (
        f"interval: {resampling.confidence:.0%}, bootstrap over the "
        f"{evaluation.families[0].n_images} images, {resampling.n} resamples, "
        f"seed {resampling.seed}"
    )
