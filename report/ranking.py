"""Runs ranked by their official scores, with intervals and costs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..evaluate.bootstrap import Interval
from ..evaluate.evaluation import Evaluation
from ..evaluate.metrics import Resampling, compare, find_intervals
from ..evaluate.reference_files import Choice
from ..evaluate.score_tables import DECIMALS
from ..evaluate.scoring import Request, score_files
from ..evaluate.table import DASH, Table
from ..predict.provenance import NO_IMAGE, RANDOM_WARNING, has_random_weights, name_network
from ..train.settings.config import RunConfig
from .runs import RunRecord

HEADLINE = {"vqa": "overall", "caption": "BLEU-4"}  # the metric that ranks a task's runs
SCORE = {"vqa": "accuracy, %", "caption": "BLEU-4"}  # the same metric, as a column's header
GAIN = {"vqa": "gain over blind", "caption": "gain over blind, CIDEr-D"}  # as train-head found it
ITEMS = {"vqa": "questions", "caption": "captions"}  # the training samples
# In config.json; the last one only where a part of the split is validated on.
VALIDATION_DIGESTS = ("val_questions", "val_answers", "val_captions", "val_images")
RESAMPLING = Resampling()


@dataclass(frozen=True)
class RankedRun:
    """A run's official score, its interval, and its difference from the best run.

    Without readable predictions ``evaluation``, ``interval`` and ``gap`` are None, and the score is
    the one that training logged. ``gap`` is the score less that of the best run, with the interval
    of that difference on the same images; None for the best run itself.
    """

    record: RunRecord
    score: float
    evaluation: Evaluation | None
    interval: Interval | None
    gap: tuple[float, Interval] | None


@dataclass(frozen=True)
class Ranking:
    """The runs in the order of their records, and notes on what could not be scored."""

    runs: list[RankedRun]
    notes: list[str]

    @property
    def is_comparable(self) -> bool:
        """Whether all runs validate on the same data."""
        return same_data([run.record for run in self.runs])

    def best_first(self) -> list[RankedRun]:
        """The runs by descending score; in their own order if scores are of different data."""
        if not self.is_comparable:
            return self.runs
        return sorted(self.runs, key=lambda run: -run.score)


def rank_runs(
    records: list[RunRecord],
    announce: Callable[[str], None],
    resampling: Resampling = RESAMPLING,
) -> Ranking:
    """Score every run's predictions against the references of its validation split.

    ``announce`` is called with a line before work that takes long.
    """
    evaluations, notes = evaluate_runs(records, announce)
    found = [headline(e, resampling) if e is not None else None for e in evaluations]
    scores = [
        pair[0] if pair is not None else record.best[record.score_name]
        for pair, record in zip(found, records, strict=True)
    ]
    best = max(range(len(records)), key=lambda k: scores[k])
    is_comparable = same_data(records)
    runs = []
    for k, record in enumerate(records):
        gap = None
        if k != best and is_comparable:
            gap = find_gap(evaluations[k], evaluations[best], resampling)
        pair = found[k]
        interval = pair[1] if pair is not None else None
        runs.append(RankedRun(record, scores[k], evaluations[k], interval, gap))
    return Ranking(runs, notes)


def evaluate_runs(
    records: list[RunRecord], announce: Callable[[str], None]
) -> tuple[list[Evaluation | None], list[str]]:
    """Each run's predictions scored, and a note for those that could not be."""
    notes = find_notes(records)
    evaluations: list[Evaluation | None] = []
    groups: dict[tuple[str, str, str], list[int]] = {}
    for k, record in enumerate(records):
        config = record.config
        part = config.digests.get("val_images", "")
        groups.setdefault((config.data, config.split, part), []).append(k)
        evaluations.append(None)
    for group in groups.values():
        paths = [records[k].path / "preds.json" for k in group]
        try:
            outcome = score_files(request_for(paths, announce))
        except (InputError, OSError) as error:
            notes.append(
                f"No official scores and intervals for {join_names(records, group)}: {error}"
            )
            continue
        for k, evaluation in zip(group, outcome.evaluations, strict=True):
            evaluations[k] = evaluation
    return evaluations, notes


def find_notes(records: list[RunRecord]) -> list[str]:
    """What a reader of the ranking must know of the records."""
    notes = []
    if not same_data(records):
        notes.append("The runs validate on different data: their scores cannot be compared.")
    random = [k for k, record in enumerate(records) if has_random_weights(record.config)]
    if random:
        notes.append(f"{join_names(records, random)}: {RANDOM_WARNING}.")
    old = [k for k, record in enumerate(records) if record.has_low_val_loss]
    if old:
        notes.append(
            f"{join_names(records, old)}: of an earlier version, whose validation loss is lower "
            "than on the training loss's scale; compare the shapes of the curves."
        )
    for record in records:
        if record.broken_lines:
            lines = ", ".join(map(str, record.broken_lines))
            notes.append(
                f"{record.name}: line {lines} of metrics.jsonl was not written whole and is left "
                "out."
            )
    return notes


def request_for(paths: list[Path], announce: Callable[[str], None]) -> Request:
    """Scores without intervals, against the references that the run folders name."""
    return Request(
        results=paths,
        references=Choice(),
        against=None,
        n_resamples=0,
        seed=0,
        intervals=False,
        announce=announce,
    )


def join_names(records: list[RunRecord], chosen: list[int]) -> str:
    """The names of some runs, with commas."""
    return ", ".join(records[k].name for k in chosen)


def headline(evaluation: Evaluation, resampling: Resampling) -> tuple[float, Interval]:
    """The score that ranks a task's runs, and its interval."""
    family = evaluation.families[0]
    index = [m.name for m in family.metrics].index(HEADLINE[evaluation.task])
    return family.metrics[index].value, find_intervals([family], resampling)[index]


def find_gap(
    evaluation: Evaluation | None, best: Evaluation | None, resampling: Resampling
) -> tuple[float, Interval] | None:
    """The difference from the best run on the same images, or None where it is unknown."""
    if evaluation is None or best is None or not same_items(evaluation, best):
        return None
    differences = compare(evaluation.families[:1], best.families[:1], resampling)
    index = [d.metric.name for d in differences].index(HEADLINE[evaluation.task])
    return differences[index].difference, differences[index].interval


def same_data(records: list[RunRecord]) -> bool:
    """Whether all runs validate on the same data."""
    return all(validate_alike(records[0].config, record.config) for record in records[1:])


def validate_alike(one: RunConfig, other: RunConfig) -> bool:
    """Whether two runs validate on equal samples, or without digests on the same split."""
    digests, others = (
        {k: v for k, v in config.digests.items() if k in VALIDATION_DIGESTS}
        for config in (one, other)
    )
    shared = digests.keys() & others.keys()
    if shared:
        same_part = digests.get("val_images") == others.get("val_images")
        return same_part and all(digests[name] == others[name] for name in shared)
    return (one.data, one.split) == (other.data, other.split)


def same_items(one: Evaluation, other: Evaluation) -> bool:
    """Whether two evaluations have the same number of items on as many images."""
    return one.n == other.n and one.families[0].n_images == other.families[0].n_images


def ranking_table(ranking: Ranking, *, every_column: bool = False) -> Table:
    """The ranking as a table, a row for each run, the best first.

    Unless ``every_column``, heads have a column of their own only if the runs' folders are not
    named after them, and the networks only if they differ; one network of all stands below.
    """
    task = ranking.runs[0].record.config.task
    header = ["run", "head", "features of", SCORE[task], "95 % interval"]
    header += ["behind the best", "best epoch", "image gain", GAIN[task], "parameters"]
    header += ["train an epoch", "validate", f"{ITEMS[task]}/s", "peak memory"]
    rows = [table_row(run) for run in ranking.best_first()]
    left_out: set[int] = set()
    notes: list[str] = []
    if all(row[0].rpartition("/")[2] == row[1] for row in rows) and not every_column:
        left_out.add(1)
    networks = {row[2] for row in rows} - {NO_IMAGE}
    if len(networks) <= 1 and not every_column:
        left_out.add(2)
        notes = [f"features of {network}" for network in networks]
    kept = [k for k in range(len(header)) if k not in left_out]
    return Table(
        [header[k] for k in kept],
        [[row[k] for k in kept] for row in rows],
        left=3 - len(left_out),
        notes=notes,
    )


def table_row(run: RankedRun) -> list[str]:
    """One run's cells."""
    record = run.record
    task = record.config.task
    decimals = DECIMALS[task]

    def span(interval: Interval | None, sign: str = "") -> str:
        if interval is None or interval.low != interval.low:
            return DASH
        return f"{interval.low:{sign}z.{decimals}f} to {interval.high:{sign}z.{decimals}f}"

    gap, gain, memory = run.gap, record.image_gain, record.peak_memory_bytes
    over_blind = record.summary.gain_over_blind
    found = record.summary.gain_interval
    over_blind_span = None if found is None else Interval(*found)
    behind = DASH if gap is None else f"{gap[0]:+z.{decimals}f} ({span(gap[1], '+')})"
    return [
        record.name,
        record.config.head,
        name_network(record.config),
        f"{run.score:.{decimals}f}",
        span(run.interval),
        behind,
        f"{record.best['epoch']} of {record.epochs[-1]['epoch']}",
        DASH if gain is None else f"{gain:+z.{decimals}f}",
        DASH
        if over_blind is None
        else f"{over_blind:+z.{decimals}f} ({span(over_blind_span, '+')})",
        DASH if record.parameters is None else f"{record.parameters:,}",
        f"{record.typical('train_seconds'):.1f} s",
        f"{record.typical('val_seconds'):.1f} s",
        f"{record.typical('items_per_second'):,.0f}",
        DASH if memory is None else f"{memory / 2**30:.2f} GiB",
    ]
