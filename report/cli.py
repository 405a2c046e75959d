"""``frostgrid compare``: parse, compare runs, print the table, write the page."""

from functools import partial
from pathlib import Path

import click

from ..atomic import write_bytes
from ..console import Command, say_bytes
from ..evaluate.table import WRITERS
from ..options import choice_option, runs_argument
from ..parameters import OutputFile


@click.command("compare", cls=Command)
@runs_argument
@click.option(
    "--out",
    type=OutputFile(".html", ".htm"),
    metavar="FILE.html",
    default=Path("compare.html"),
    show_default=True,
    help="The page to write: one self-contained file.",
)
@click.option("--png", is_flag=True, help="Write the plots beside it as PNG files too.")
@choice_option("--format", "form", values=WRITERS, help="Of the table that is printed.")
def compare(runs: tuple[Path, ...], out: Path, png: bool, form: str) -> None:
    """Put RUNs side by side: their learning curves, scores and disagreements.

    The page has the curves, the ranking, the scores in parts, the settings that differ, and
    examples on which the runs disagree, with pictures and attention.
    """
    # torch takes seconds to import, and --help needs none of it.
    from ..predict.photo import refuse_huge_images
    from .breakdown import BY_QUESTION, breakdown_tables
    from .charts import panel_charts, split_panels
    from .page import build_page
    from .plots import to_png
    from .ranking import rank_runs, ranking_table
    from .runs import read_records

    records = read_records(list(runs))
    ranking = rank_runs(records, partial(click.echo, err=True))
    is_read = form == "csv"  # by a program, which expects one table
    tables = [ranking_table(ranking, every_column=is_read)]
    if not is_read:
        tables += [t for t in breakdown_tables(ranking) if not t.title.startswith(BY_QUESTION)]
    click.echo("\n\n".join(map(WRITERS[form], tables)))
    for note in ranking.notes:
        click.echo(f"note: {note}", err=True)
    with refuse_huge_images():
        page = build_page(records, ranking)
    out.parent.mkdir(parents=True, exist_ok=True)
    files = {out: page.encode("utf-8", "backslashreplace")}
    if png:
        for panel in split_panels(records):
            stem = "-".join([out.stem, *panel.name.split()])
            for name, chart in panel_charts(panel).items():
                files[out.with_name(f"{stem}-{name}.png")] = to_png(chart)
    for path, data in files.items():
        write_bytes(path, data)
        click.echo(f"wrote {path} ({say_bytes(len(data))})", err=form != "table")
