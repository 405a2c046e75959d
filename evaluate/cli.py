"""The ``score`` command."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..atomic import write_bytes
from ..console import Command
from ..errors import InputError
from ..parameters import OneOf
from .reference_files import Choice
from .scoring import Request, ScoreOutcome, score_files

if TYPE_CHECKING:
    from .table import Table

FORMATS = ("table", "json", "csv", "markdown", "latex")
SUFFIXES = (".csv", ".jsonl")
EXTRA = ("meteor", "spice")
DEFAULT_RESAMPLES = 1000
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
OUTPUT = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True)
class ScoreOptions:
    """The command line as typed."""

    results: tuple[Path, ...]
    questions: Path | None
    annotations: Path | None
    captions: Path | None
    data: str | None  # a data set's name or folder
    split: str | None
    json_path: str | None  # or "-" for standard output
    form: str  # one of FORMATS, for standard output
    bootstrap: int | None  # resamples; None if not typed
    seed: int
    against: Path | None
    per_item: Path | None
    metrics: tuple[str, ...]  # of captions, that other programs compute
    meteor_jar: Path | None
    spice_jar: Path | None
    only_predicted: bool


@click.command("score", cls=Command)
@click.argument("results", type=FILE, nargs=-1, required=True, metavar="PREDS.json...")
@click.option("--annotations", type=FILE, metavar="FILE", help="VQA annotations to score against.")
@click.option("--questions", type=FILE, help="VQA questions; only checked to be the annotated.")
@click.option("--captions", type=FILE, help="Reference captions: a COCO or a Karpathy file.")
@click.option("--data", metavar="NAME|DIR", help="Take the references of this data set.")
@click.option(
    "--split",
    type=OneOf(["train", "val", "test"]),
    help="Its split.  [default: the one predicted, or val]",
)
@click.option(
    "--json", "json_path", metavar="FILE|-", help="Write the scores as JSON; - prints them instead."
)
@click.option(
    "--format",
    "form",
    type=OneOf(FORMATS),
    default="table",
    show_default=True,
    help="Of what is printed.",
)
@click.option(
    "--bootstrap",
    type=click.IntRange(0, 1_000_000),
    help=f"Resamples for the intervals; {DEFAULT_RESAMPLES} if not said, 0 for none.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of these.")
@click.option("--against", type=FILE, metavar="PREDS.json", help="Tell what differs, how surely.")
@click.option(
    "--per-item",
    type=OUTPUT,
    metavar="FILE",
    help="Write every question's or caption's scores and texts, as .csv or .jsonl.",
)
@click.option(
    "--metric",
    "metrics",
    type=OneOf(EXTRA),
    multiple=True,
    help="Of captions also METEOR or SPICE, by your own Java and their authors' jars; repeat it "
    "for both.",
)
@click.option(
    "--meteor-jar",
    type=click.Path(path_type=Path),
    envvar="FROSTGRID_METEOR_JAR",
    show_envvar=True,
    metavar="FILE",
    help="meteor-1.5.jar.  [default: that of an installed pycocoevalcap]",
)
@click.option(
    "--spice-jar",
    type=click.Path(path_type=Path),
    envvar="FROSTGRID_SPICE_JAR",
    show_envvar=True,
    metavar="FILE",
    help="spice-1.0.jar.  [default: that of an installed pycocoevalcap]",
)
@click.option(
    "--only-predicted",
    is_flag=True,
    help="Leave out what has no prediction, and say so in the signature.",
)
def score(**options: Any) -> None:
    """Score predictions as the official evaluators do.

    PREDS.json holds answers, a list of {"question_id", "answer"}, or captions, a list of
    {"image_id", "caption"}; or JSON lines or CSV of these, {id: text}, or lmms-eval's samples.
    Without references, those that `predict` or the run folder around it names are taken. Several
    files give one table.
    """
    typed = ScoreOptions(**options)
    check_usage(typed)
    if "numpy" not in sys.modules:
        # OpenBLAS's second thread would spin while idle, and slow down the second process.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        outcome = score_files(build_request(typed))
    except MemoryError as error:
        raise InputError(
            f"{typed.results[0]}: there is not enough memory to score it; close other programs, or "
            "check that it and its references are the files you meant."
        ) from error
    write_files(typed, outcome)
    print_outcome(typed, outcome)


def main() -> None:
    """The console script."""
    score()


def check_usage(options: ScoreOptions) -> None:
    """Raise a usage error for options that do not go together."""
    chosen = [name for name in ("annotations", "captions", "data") if getattr(options, name)]
    if len(chosen) > 1:
        raise click.UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other.")
    if options.questions and not options.annotations:
        raise click.UsageError("--questions needs --annotations: the answers are there.")
    if options.split and options.annotations:
        raise click.UsageError("--split goes with --data or --captions, not --annotations.")
    if options.json_path == "-" and options.form not in ("table", "json"):
        raise click.UsageError(f"--json - and --format {options.form} both want standard output.")
    if options.against and options.bootstrap == 0:
        raise click.UsageError("--against needs resamples; leave --bootstrap 0 out.")
    if options.per_item and options.per_item.suffix not in SUFFIXES:
        raise click.BadParameter(
            f"{str(options.per_item)!r} ends neither in .csv nor in .jsonl.",
            param_hint="--per-item",
        )


def build_request(options: ScoreOptions) -> Request:
    """What to compute; JSON output holds intervals only if they were asked for."""
    n_resamples = DEFAULT_RESAMPLES if options.bootstrap is None else options.bootstrap
    shown = options.bootstrap is not None or not is_json(options)
    return Request(
        list(options.results),
        Choice(
            questions=options.questions,
            annotations=options.annotations,
            captions=options.captions,
            data=options.data,
            split=options.split,
            only_predicted=options.only_predicted,
        ),
        options.against,
        n_resamples,
        options.seed,
        intervals=shown and n_resamples > 0,
        announce=partial(click.echo, err=True),
        extra={name: getattr(options, f"{name}_jar") for name in EXTRA if name in options.metrics},
    )


def is_json(options: ScoreOptions) -> bool:
    """Whether standard output gets JSON."""
    return options.json_path == "-" or options.form == "json"


def write_files(options: ScoreOptions, outcome: ScoreOutcome) -> None:
    """Write the files that were asked for, whole or not at all."""
    from .per_item import format_items

    if options.json_path not in (None, "-"):
        write_text(Path(str(options.json_path)), format_json(options, outcome))
    if options.per_item:
        write_text(options.per_item, format_items(outcome, options.per_item.suffix))


def write_text(path: Path, text: str) -> None:
    """Write a file, and create its folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def format_json(options: ScoreOptions, outcome: ScoreOutcome) -> str:
    """One object for one results file, a list of them, each with its name, for several."""
    from .score_objects import bootstrap_object, comparison_object, evaluation_object

    objects = []
    for k, evaluation in enumerate(outcome.evaluations):
        found = evaluation_object(evaluation)
        if len(outcome.evaluations) > 1:
            found = {"file": str(evaluation.path), **found}
        if outcome.intervals and options.bootstrap is not None:
            found["bootstrap"] = bootstrap_object(
                evaluation, outcome.intervals[k], outcome.resampling
            )
        if outcome.comparisons:
            found["against"] = comparison_object(outcome.comparisons[k], outcome.resampling)
        objects.append(found)
    return json.dumps(objects if len(objects) > 1 else objects[0], indent=2) + "\n"


def print_outcome(options: ScoreOptions, outcome: ScoreOutcome) -> None:
    """Print the scores in the chosen format, after the layouts and the references."""
    plain = options.form == "table" and not is_json(options)
    for path, layout in outcome.layouts.items():
        click.echo(f"Predictions: {path}: {layout}", err=not plain)
    click.echo(f"References: {outcome.origin}", err=not plain)
    if is_json(options):
        click.echo(format_json(options, outcome), nl=False)
        return
    from .table import WRITERS

    tables = build_tables(outcome, apart=options.form == "csv")
    click.echo("\n\n".join(WRITERS[options.form](table) for table in tables))


def build_tables(outcome: ScoreOutcome, *, apart: bool) -> list[Table]:
    """The table of scores; for each comparison, its differences and what changed most."""
    from .score_tables import change_table, comparison_table, resampling_note, score_table

    tables = [score_table(outcome.evaluations, outcome.intervals, apart=apart)]
    if outcome.intervals:
        note = resampling_note(outcome.evaluations[0], outcome.resampling)
        tables[0].notes.insert(0, note)
    for comparison in outcome.comparisons:
        tables.append(comparison_table(comparison, apart=apart))
        if comparison.question_types:
            tables.append(change_table("Question types", comparison.question_types, comparison))
        if comparison.images:
            tables.append(change_table("Images", comparison.images, comparison))
    return tables
