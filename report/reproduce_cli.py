"""``frostgrid reproduce``: parse, train a report's heads, compare them, write the page."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..atomic import write_bytes
from ..console import Command, StopRequest, say_bytes, stop_on_signal
from ..evaluate.table import as_text
from ..featurize.choices import BACKBONES
from ..models.names import TASKS
from ..options import data_option, device_option
from ..parameters import OneOf
from .child_process import Stopped
from .published_reports import REPORTS, PublishedReport

if TYPE_CHECKING:
    from .reproduction_runs import Reproduction

SMALL_DATA, SMALL_BACKBONE = "easy-vqa", "resnet18"


@click.command("reproduce", cls=Command)
@click.argument("report", type=OneOf(REPORTS))
@data_option
@click.option(
    "--features",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Feature file; repeat it for several.  [default: extracted first where missing]",
)
@click.option(
    "--backbone",
    type=OneOf(BACKBONES),
    help="The frozen network, where no --features are named.  [default: the report's; resnet18 "
    "for easy-vqa, whose images hold one plain shape]",
)
@click.option(
    "--heads",
    multiple=True,
    type=OneOf(TASKS),
    metavar="HEAD",
    help="Only this head; repeat it for several.",
)
@click.option("--epochs", type=click.IntRange(1), help="Of each run.  [default: each recipe's own]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of every run.")
@device_option
@click.option(
    "--study/--no-study",
    default=True,
    show_default=True,
    help="Also measure what mixed precision, accumulation and early stopping change.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the runs and the page.  [default: reports/REPORT]",
)
def reproduce(report: str, heads: tuple[str, ...], out: Path | None, **options: Any) -> None:
    """Train all heads of a published comparison, with its recipe and with ours; compare them.

    Interrupted, the same command continues where it stopped. At the end it prints tables and writes
    a page, OUT/report.html.
    """
    # torch takes seconds to import, and --help needs none of it.
    from .reproduction_runs import Reproduction, check_references, train_missing

    chosen = REPORTS[report]
    heads = choose_heads(chosen, heads)
    out = out or Path("reports") / report
    check_references(chosen, options["data"])
    try:
        with stop_on_signal() as stop:
            features = options["features"] or find_or_extract(chosen, heads, options, stop)
            reproduction = Reproduction(
                report=chosen,
                heads=heads,
                features=features,
                out=out,
                **{name: options[name] for name in ("data", "epochs", "seed", "device", "study")},
            )
            train_missing(reproduction, stop, click.echo)
    except Stopped:
        click.echo("Stopped; the same command goes on from here.", err=True)
        sys.exit(1)
    show_results(reproduction)


def choose_heads(report: PublishedReport, names: tuple[str, ...]) -> tuple[str, ...]:
    """All heads of the report, or those that are named, in the report's order."""
    for name in names:
        if name not in report.heads:
            raise click.UsageError(
                f"--heads {name}: the {report.name} has {', '.join(report.heads)}."
            )
    return tuple(head for head in report.heads if not names or head in names)


def find_or_extract(
    report: PublishedReport, heads: tuple[str, ...], options: dict[str, Any], stop: StopRequest
) -> tuple[Path, ...]:
    """The default feature files of the data, extracted where they are missing."""
    from .reproduction_runs import extract_missing

    if heads == ("question-only",):
        return ()
    data = options["data"]
    backbone = options["backbone"] or (SMALL_BACKBONE if data == SMALL_DATA else report.backbone)
    return extract_missing(data, backbone, options["device"], stop, click.echo)


def show_results(reproduction: Reproduction) -> None:
    """Compare all runs: print the tables, write the page."""
    from ..predict.photo import refuse_huge_images
    from .page import build_page
    from .ranking import rank_runs, ranking_table
    from .reproduction_tables import figures_table, study_tables
    from .runs import read_records

    records = read_records(reproduction.comparison())
    ranking = rank_runs(records, partial(click.echo, err=True))
    tables = [
        figures_table(reproduction.report, ranking),
        *study_tables(reproduction.report, reproduction.studied()),
    ]
    for table in (ranking_table(ranking), *tables):
        click.echo(f"\n{as_text(table)}")
    for note in ranking.notes:
        click.echo(f"note: {note}", err=True)
    with refuse_huge_images():
        page = build_page(records, ranking, f"The {reproduction.report.name}, reproduced", tables)
    data = page.encode("utf-8", "backslashreplace")
    path = reproduction.out / "report.html"
    write_bytes(path, data)
    click.echo(f"\nwrote {path} ({say_bytes(len(data))})")
