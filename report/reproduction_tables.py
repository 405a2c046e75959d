"""What a reproduction shows: figures beside the report's, and what each measure changes."""

from collections.abc import Callable
from pathlib import Path

from ..evaluate.score_tables import DECIMALS
from ..evaluate.table import DASH, Table
from .published_reports import ACCUMULATION, MEASURES, STOPPING, Report
from .ranking import SCORE, Scored, Standing
from .runs import RunRecord, read_record

GIB = 2**30


def beside_table(report: Report, scored: Scored) -> Table:
    """Each head's published figure beside ours, with both recipes."""
    found = {(s.record.config.recipe, s.record.config.head): s for s in scored.standings}
    config = scored.standings[0].record.config
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


def our_cells(standing: Standing | None, task: str) -> list[str]:
    """Our score, image gain and time an epoch; dashes for a run that was not asked for."""
    if standing is None:
        return [DASH] * 3
    gain, decimals = standing.record.image_gain, DECIMALS[task]
    return [
        f"{standing.score:.{decimals}f}",
        DASH if gain is None else f"{gain:+z.{decimals}f}",
        f"{standing.record.typical('train_seconds'):.1f} s",
    ]


def study_tables(report: Report, paths: dict[frozenset[str], Path]) -> list[Table]:
    """The runs of the study, and what each measure changes; none without a study."""
    if not paths:
        return []
    records = {measures: read_record(path, path.name) for measures, path in paths.items()}
    return [runs_table(report, records), changes_table(report, records)]


def runs_table(report: Report, records: dict[frozenset[str], RunRecord]) -> Table:
    """A row a run: which measures it took, and what it cost."""
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


def name_run(report: Report, measures: frozenset[str]) -> str:
    """How a run differs from the report's recipe."""
    changed = measures ^ report.measures
    if not changed:
        return "the report's recipe"
    if len(changed) > 1:
        return "with all three" if measures else "with none of them"
    (measure,) = changed
    return f"{'with' if measure in measures else 'without'} {measure}"


def describe_measure(record: RunRecord, measure: str, taken: bool) -> str:
    """A measure's cell in a run's row."""
    o = record.config.optimisation
    if measure == ACCUMULATION:
        return f"{o.accumulate} × {o.batch_size}"
    return "yes" if taken else "no"


def changes_table(report: Report, records: dict[frozenset[str], RunRecord]) -> Table:
    """A row a measure: the run that takes it less the run that does not, all else the same."""
    header = ["with it, against without", "train an epoch", "whole training", "peak memory"]
    header += [SCORE[report.task], "the report says"]
    base = report.measures
    pairs = {measure: (base | {measure}, base - {measure}) for measure in MEASURES}
    pairs["all three"] = (frozenset(MEASURES), frozenset())
    rows = []
    for name, (taken, left) in pairs.items():
        one, other = records[taken], records[left]
        gain = one.best[one.score_name] - other.best[other.score_name]
        costs = [
            change(one, other, lambda record: record.typical("train_seconds")),
            change(one, other, whole_seconds),
            change(one, other, lambda record: float(record.peak_memory_bytes or 0)),
        ]
        if name == STOPPING:  # the same epochs, only fewer: what differs in one of them is noise
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
    "Each run is a process of its own. Peak memory is the GPU's; without one it is what the "
    "process held, the parts of the feature file that it read included. Mixed precision is "
    "bfloat16 where the hardware has it. Early stopping changes no epoch, only how many there "
    "are: what it saves is counted in epochs."
)


def change(one: RunRecord, other: RunRecord, quantity: Callable[[RunRecord], float]) -> str:
    """How much more or less of a quantity the first run takes, in percent of the second's."""
    before = quantity(other)
    return f"{100 * (quantity(one) / before - 1):+z.0f} %" if before else DASH


def whole_seconds(record: RunRecord) -> float:
    """Training and validation, all epochs."""
    return sum(record.column("train_seconds")) + sum(record.column("val_seconds"))
