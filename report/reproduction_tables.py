"""Tables of a reproduction: figures beside the report's, and what each measure changes."""

from collections.abc import Callable
from pathlib import Path

from ..evaluate.score_tables import DECIMALS
from ..evaluate.table import DASH, Table
from .published_reports import ACCUMULATION, MEASURES, STOPPING, PublishedReport
from .ranking import SCORE, RankedRun, Ranking
from .runs import RunRecord, read_record

GIB = 2**30


def figures_table(report: PublishedReport, ranking: Ranking) -> Table:
    """Each head's published figures beside ours, with both recipes."""
    found = {(run.record.config.recipe, run.record.config.head): run for run in ranking.runs}
    config = ranking.runs[0].record.config
    score = SCORE[report.task]
    header = ["head", f"report: {score}", "report: training"]
    for recipe in ("report", "default"):
        header += [f"{recipe} recipe: {score}", "image gain", "an epoch"]
    rows = [
        [
            head,
            published.score,
            published.training,
            *our_cells(found.get(("report", head)), report.task),
            *our_cells(found.get(("default", head)), report.task),
        ]
        for head, published in report.heads.items()
    ]
    notes = [
        f"The report's own figures are of {report.data} and {report.backbone}, training and "
        f"validation apart; ours of {Path(config.data).name}, {config.split}, training alone. "
        "Figures of different data stand beside each other, not against each other."
    ]
    return Table(header, rows, title="Beside the report", notes=notes)


def our_cells(run: RankedRun | None, task: str) -> list[str]:
    """Our score, image gain and time of an epoch; dashes without a run."""
    if run is None:
        return [DASH] * 3
    gain, decimals = run.record.image_gain, DECIMALS[task]
    return [
        f"{run.score:.{decimals}f}",
        DASH if gain is None else f"{gain:+z.{decimals}f}",
        f"{run.record.typical('train_seconds'):.1f} s",
    ]


def study_tables(report: PublishedReport, paths: dict[frozenset[str], Path]) -> list[Table]:
    """The runs of the ablation, and what each measure changes; empty without an ablation."""
    if not paths:
        return []
    records = {measures: read_record(path, path.name) for measures, path in paths.items()}
    return [runs_table(report, records), changes_table(report, records)]


def runs_table(report: PublishedReport, records: dict[frozenset[str], RunRecord]) -> Table:
    """A row for each run: its measures and its costs."""
    header = [
        "run",
        *MEASURES,
        SCORE[report.task],
        "best epoch",
        "train an epoch",
        "whole training",
    ]
    rows = []
    for measures, record in records.items():
        rows.append(
            [
                name_run(report, measures),
                *(describe_measure(record, measure, measure in measures) for measure in MEASURES),
                f"{record.best[record.score_name]:.{DECIMALS[report.task]}f}",
                f"{record.best['epoch']} of {record.epochs[-1]['epoch']}",
                f"{record.typical('train_seconds'):.1f} s",
                f"{whole_seconds(record):.0f} s",
                f"{(record.peak_memory_bytes or 0) / GIB:.2f} GiB",
            ]
        )
    return Table(
        [*header, "peak memory"],
        rows,
        left=1 + len(MEASURES),
        title=f"The measures, studied on {report.studied}",
    )


def name_run(report: PublishedReport, measures: frozenset[str]) -> str:
    """A run's difference from the report's recipe."""
    changed = measures ^ report.measures
    if not changed:
        return "the report's recipe"
    if len(changed) > 1:
        return "with all three" if measures else "with none of them"
    (measure,) = changed
    return f"{'with' if measure in measures else 'without'} {measure}"


def describe_measure(record: RunRecord, measure: str, used: bool) -> str:
    """A measure's cell in a run's row."""
    o = record.config.optimisation
    if measure == ACCUMULATION:
        return f"{o.accumulate} × {o.batch_size}"
    return "yes" if used else "no"


def changes_table(report: PublishedReport, records: dict[frozenset[str], RunRecord]) -> Table:
    """A row for each measure: the run with it against the run without it, all else equal."""
    header = ["with it, against without", "train an epoch", "whole training", "peak memory"]
    header += [SCORE[report.task], "the report says"]
    base = report.measures
    pairs = {measure: (base | {measure}, base - {measure}) for measure in MEASURES}
    pairs["all three"] = (frozenset(MEASURES), frozenset())
    rows = []
    for name, (present, absent) in pairs.items():
        one, other = records[present], records[absent]
        gain = one.best[one.score_name] - other.best[other.score_name]
        costs = [
            change(one, other, lambda record: record.typical("train_seconds")),
            change(one, other, whole_seconds),
            change(one, other, lambda record: float(record.peak_memory_bytes or 0)),
        ]
        if name == STOPPING:  # the same epochs, only fewer: a difference within one is noise
            costs = [DASH, change(one, other, lambda record: len(record.epochs)), DASH]
        rows.append(
            [
                name,
                *costs,
                f"{gain:+z.{DECIMALS[report.task]}f}",
                report.claims.get("" if name == "all three" else name, DASH),
            ]
        )
    return Table(header, rows, title="What each measure changes", notes=[MEMORY_NOTE])


MEMORY_NOTE = (
    "Each run is a process of its own. Peak memory is the GPU's; without one it is the resident "
    "memory of the process, mapped parts of the feature file included. Mixed precision is "
    "bfloat16 where the hardware has it. Early stopping changes only the number of epochs, so "
    "its saving is counted in epochs."
)


def change(one: RunRecord, other: RunRecord, quantity: Callable[[RunRecord], float]) -> str:
    """The first run's quantity against the second's, as a difference in percent."""
    before = quantity(other)
    return f"{100 * (quantity(one) / before - 1):+z.0f} %" if before else DASH


def whole_seconds(record: RunRecord) -> float:
    """The seconds of training and validation over all epochs."""
    return sum(record.column("train_seconds")) + sum(record.column("val_seconds"))
