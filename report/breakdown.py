"""Runs' scores in parts: by kind of answer and of question, or by every caption metric."""

from collections.abc import Sequence

from ..evaluate.metrics import ANSWER_TYPE, OVERALL, QUESTION_TYPE, find_intervals
from ..evaluate.score_tables import DECIMALS, display_order, printable
from ..evaluate.table import Table
from .ranking import RESAMPLING, RankedRun, Ranking, validate_alike

BY_QUESTION = "Accuracy by kind of question, %"
# Of a task: the title of each table, and the groups of metrics in it.
TABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "vqa": {"Accuracy by kind of answer, %": (OVERALL, ANSWER_TYPE), BY_QUESTION: (QUESTION_TYPE,)},
    "caption": {"All caption metrics": (OVERALL,)},
}
MOST_INTERVALS = 4  # runs; of more, a table with intervals is too wide to read
NOTE = "In brackets: 95 % intervals, by a bootstrap over the images."


def breakdown_tables(ranking: Ranking) -> list[Table]:
    """The tables of the runs that were scored; runs on different data have tables of their own."""
    groups: list[list[RankedRun]] = []
    for run in ranking.best_first():
        if run.evaluation is None:
            continue
        for group in groups:
            if validate_alike(group[0].record.config, run.record.config):
                group.append(run)
                break
        else:
            groups.append([run])
    return [table for group in groups for table in group_tables(group, alone=len(groups) == 1)]


def group_tables(runs: Sequence[RankedRun], *, alone: bool) -> list[Table]:
    """The tables of runs on the same data, a column a run; titles name them unless ``alone``."""
    evaluations = [run.evaluation for run in runs if run.evaluation is not None]
    metrics, decimals = evaluations[0].metrics, DECIMALS[evaluations[0].task]
    columns = [[f"{metric.value:.{decimals}f}" for metric in e.metrics] for e in evaluations]
    with_intervals = len(runs) <= MOST_INTERVALS
    if with_intervals:
        for column, evaluation in zip(columns, evaluations, strict=True):
            for k, (low, high) in enumerate(find_intervals(evaluation.families, RESAMPLING)):
                if low == low:  # none where one image has all the questions
                    column[k] += f" ({low:.{decimals}f} to {high:.{decimals}f})"
    names = [run.record.name for run in runs]
    tables = []
    for title, groups in TABLES[evaluations[0].task].items():
        rows = [
            [printable(metrics[k].name), f"{metrics[k].n:,}", *(column[k] for column in columns)]
            for k in display_order(metrics)
            if metrics[k].group in groups
        ]
        if any(metric.group in groups[-1:] for metric in metrics):
            shown = title if alone else f"{title}: {', '.join(names)}"
            kind = "metric" if groups == (OVERALL,) else "kind"
            tables.append(
                Table([kind, "n", *names], rows, title=shown, notes=[NOTE] * with_intervals)
            )
    return tables
