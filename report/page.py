"""Runs side by side as one self-contained HTML page."""

from collections.abc import Sequence

from markupsafe import Markup

from .. import __version__
from ..evaluate.score_tables import DECIMALS
from ..evaluate.table import Table
from ..explain.html import page_runs, render
from ..predict.provenance import name_network
from .breakdown import BY_QUESTION, breakdown_tables
from .charts import number_runs, panel_charts, split_panels
from .example_cards import build_examples
from .plots import to_svg
from .ranking import RankedRun, Ranking, ranking_table
from .runs import RunRecord, name_data, settings_that_differ


def build_page(
    records: list[RunRecord],
    ranking: Ranking,
    title: str = "",
    more_tables: Sequence[Table] = (),
) -> str:
    """The page, with more tables below the ranking; the default title names the runs.

    Notes on the page say what is left out because data or features are missing.
    """
    runs = page_runs([record.name for record in records], number_runs(records))
    colors = {record.path: run.color for record, run in zip(records, runs, strict=True)}
    section = build_examples(records, ranking, runs)
    table, ordered = ranking_table(ranking), ranking.best_first()
    rows = [
        {"cells": cells, "color": colors[run.record.path]}
        for cells, run in zip(table.rows, ordered, strict=True)
    ]
    return render(
        "compare.html",
        title=title or page_title(records),
        subtitle=page_subtitle(records),
        lead=lead(ordered, ranking.is_comparable),
        notes=[*ranking.notes, *section.notes],
        runs=runs,
        charts=[
            Markup(to_svg(chart))
            for panel in split_panels(records)
            for chart in panel_charts(panel).values()
        ],
        table={"header": table.header, "left": table.left, "rows": rows},
        more_tables=[*breakdown_tables(ranking), *more_tables],
        folded=BY_QUESTION,
        settings=settings_that_differ(records),
        examples=section.examples,
        strips=section.strips,
        footer=page_footer(ordered),
    )


def page_title(records: list[RunRecord]) -> str:
    """The page's title: the runs' names, or how many there are."""
    if len(records) > 3:
        return f"{len(records)} runs side by side"
    *others, last = (record.name for record in records)
    return f"{', '.join(others)} and {last}" if others else last


def page_subtitle(records: list[RunRecord]) -> str:
    """The data that the runs validate on, and the networks of their features."""
    data = dict.fromkeys(f"{name_data(r.config)}, validated on {r.config.split}" for r in records)
    networks = dict.fromkeys(name_network(r.config) for r in records if r.config.feature_identity)
    return "; ".join([*data, *(f"features of {network}" for network in networks)])


def page_footer(runs: list[RankedRun]) -> str:
    """The signature of the scores, and the program's version."""
    signatures = [run.evaluation.signature for run in runs if run.evaluation is not None]
    scored = f"Scores: {signatures[0]}. " if signatures else ""
    return f"{scored}Written by frostgrid {__version__}."


def lead(ordered: list[RankedRun], is_comparable: bool) -> str:
    """The result in one sentence; scores of different data are never set against each other."""
    if not is_comparable:
        return "These runs validate on different data: their scores cannot be compared."
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
