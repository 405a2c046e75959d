"""Runs side by side as one HTML page that needs nothing else."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from .. import __version__
from ..evaluate.score_tables import DECIMALS
from ..evaluate.table import Table
from ..explain.html import page_runs, render
from .charts import loss_chart, number_runs, score_chart, split_panels
from .example_cards import find_cases
from .plots import to_svg
from .ranking import Scored, Standing, ranked, standings_table
from .runs import RunRecord, settings_that_differ


def build_report(
    records: list[RunRecord],
    scored: Scored,
    title: str = "",
    more_tables: Sequence[Table] = (),
) -> str:
    """The page, with more tables below the results; without a title it is that of the runs.

    What cannot be shown (data or features that are gone) is said in it instead.
    """
    runs = page_runs([record.name for record in records], number_runs(records))
    colours = {record.path: run.colour for record, run in zip(records, runs, strict=True)}
    findings = find_cases(records, scored, runs)
    table, ordered = standings_table(scored), ranked(scored)
    rows = [
        {"cells": cells, "colour": colours[standing.record.path]}
        for cells, standing in zip(table.rows, ordered, strict=True)
    ]
    config = records[0].config
    return render(
        "compare.html",
        title=title or page_title(records),
        subtitle=f"{Path(config.data).name or config.data}, validated on {config.split}",
        lead=lead(ordered),
        notes=[*scored.notes, *findings.notes],
        runs=runs,
        charts=[
            Markup(to_svg(draw(panel)))
            for panel in split_panels(records)
            for draw in (loss_chart, score_chart)
        ],
        table={"header": table.header, "left": table.left, "rows": rows},
        more_tables=more_tables,
        settings=settings_that_differ(records),
        cases=findings.cases,
        strips=findings.strips,
        footer=page_footer(ordered),
    )


def page_title(records: list[RunRecord]) -> str:
    """What the page is called."""
    if len(records) > 3:
        return f"{len(records)} runs side by side"
    *others, last = (record.name for record in records)
    return f"{', '.join(others)} and {last}" if others else last


def page_footer(standings: list[Standing]) -> str:
    """How the scores came about, and by which program."""
    signatures = [s.evaluation.signature for s in standings if s.evaluation is not None]
    scored = f"Scores: {signatures[0]}. " if signatures else ""
    return f"{scored}Written by frostgrid {__version__}."


def lead(ordered: list[Standing]) -> str:
    """The outcome in a sentence."""
    best = ordered[0]
    is_vqa = best.record.config.task == "vqa"
    digits = DECIMALS[best.record.config.task]
    text = f"{best.record.name} reaches "
    text += f"{best.score:.2f} %" if is_vqa else f"BLEU-4 {best.score:.4f}"
    if best.interval is not None and best.interval.low == best.interval.low:
        text += (
            f" (95 % interval {best.interval.low:.{digits}f} to {best.interval.high:.{digits}f})"
        )
    if len(ordered) == 1:
        return f"{text}."
    second = ordered[1]
    ahead = best.score - second.score
    if round(ahead, digits) == 0:
        return f"{text}, as does {second.record.name}."
    text += f", ahead of {second.record.name} by {ahead:.{digits}f}{' points' if is_vqa else ''}"
    if second.gap is None or second.gap[1].low != second.gap[1].low:
        return f"{text}."
    if second.gap[1].high < 0:
        return f"{text}: more than chance would make on these images."
    return f"{text}: so little that it can be chance on these images."
