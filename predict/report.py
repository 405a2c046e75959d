"""Runs side by side as one HTML page that needs nothing else."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from .. import __version__
from ..errors import InputError
from .plots import MARKERS, PALETTE, loss_chart, score_chart, to_svg
from .records import RunRecord, settings_that_differ
from .specimens import Disagreement, Specimen, compare_answers, compare_captions
from .standings import Scored, Standing, standings_table, table_row
from .visuals import Pictures, Watched, data_uri

TEMPLATES = Path(__file__).parent / "templates"
CASES = 24  # questions, or images to be described, that are shown
MAPPED = 8  # of these, with maps of where runs looked
STRIPS = 2  # images whose captions are shown word by word

# The marks of plots.MARKERS in a box of 40 x 16.
SHAPES = (
    Markup('circle cx="20" cy="8" r="5"'),
    Markup('rect x="15" y="3" width="10" height="10"'),
    Markup('path d="M20 2 26 13H14Z"'),
    Markup('path d="M20 1 27 8 20 15 13 8Z"'),
)


@dataclass(frozen=True)
class PageRun:
    """A run on the page: its name, the number of its colour and its mark."""

    name: str
    colour: int
    mark: Markup


@dataclass
class Findings:
    """What was found out about single images, and what could not be."""

    cases: dict[str, Any] | None = None
    strips: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def render(template: str, **context: Any) -> str:
    """Fill in one of the templates; text is escaped, whatever it holds."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**context)


def build_report(records: list[RunRecord], scored: Scored) -> str:
    """The page. What cannot be shown (data or features that are gone) is said in it instead."""
    runs = [
        PageRun(record.name, k % len(PALETTE), SHAPES[k // len(PALETTE) % len(MARKERS)])
        for k, record in enumerate(records)
    ]
    findings = find_cases(records, scored, runs)
    table = standings_table(scored)
    ordered = sorted(scored.standings, key=lambda standing: -standing.score)
    colour = {record.path: run.colour for record, run in zip(records, runs, strict=True)}
    rows = [{"cells": table_row(s), "colour": colour[s.record.path]} for s in ordered]
    config = records[0].config
    return render(
        "compare.html",
        title=page_title(records),
        subtitle=f"{data_name(config.data)}, validated on {config.split}",
        lead=lead(ordered),
        notes=[*scored.notes, *findings.notes],
        runs=runs,
        charts=[Markup(to_svg(chart)) for chart in (loss_chart(records), score_chart(records))],
        table={"header": table.header, "left": table.left, "rows": rows, "notes": table.notes},
        settings=settings_that_differ(records),
        cases=findings.cases,
        strips=findings.strips,
        footer=page_footer(ordered),
    )


def page_title(records: list[RunRecord]) -> str:
    """What the page is called."""
    if len(records) > 3:
        return f"{len(records)} runs side by side"
    return " and ".join(record.name for record in records)


def data_name(data: str) -> str:
    """A data set's name, or its folder's."""
    return Path(data).name or data


def page_footer(standings: list[Standing]) -> str:
    """How the scores came about, and by which program."""
    signatures = [s.evaluation.signature for s in standings if s.evaluation is not None]
    scored = f"Scores: {signatures[0]}. " if signatures else ""
    return f"{scored}Written by frostgrid {__version__}."


def lead(ordered: list[Standing]) -> str:
    """The outcome in a sentence or two."""
    best = ordered[0]
    task = best.record.config.task
    text = f"{best.record.name} reaches {say_score(best.score, task)}"
    if best.interval is not None and best.interval.low == best.interval.low:
        low, high = (say_score(end, task) for end in best.interval)
        text += f" (95 % interval {low} to {high})"
    if len(ordered) == 1:
        return f"{text}."
    second = ordered[1]
    text += f", ahead of {second.record.name} by {say_score(best.score - second.score, task)}"
    if second.gap is None or second.gap[1].low != second.gap[1].low:
        return f"{text}."
    if second.gap[1].high < 0:
        return f"{text}: more than chance would make on these images."
    return f"{text}: so little that it can be chance on these images."


def say_score(score: float, task: str) -> str:
    """A score with its unit."""
    return f"{score:.2f} %" if task == "vqa" else f"BLEU-4 {score:.4f}"


def find_cases(records: list[RunRecord], scored: Scored, runs: list[PageRun]) -> Findings:
    """The images that tell runs apart, with pictures and maps as far as they can be had."""
    findings = Findings()
    evaluations = [s.evaluation for s in scored.standings if s.evaluation is not None]
    config = records[0].config
    same = all((r.config.data, r.config.split) == (config.data, config.split) for r in records)
    if len(evaluations) < len(records) or not same:
        return findings  # a note says so already
    compare = compare_answers if config.task == "vqa" else compare_captions
    try:
        found = compare(evaluations, config.data, config.split, CASES)
        pictures = Pictures(config.data, config.split)
    except (InputError, OSError) as error:
        findings.notes.append(f"No single images are shown: {error}")
        return findings
    watched = watch(records, runs, findings)
    cards = [
        make_card(specimen, runs, pictures, watched if k < MAPPED else [], findings)
        for k, specimen in enumerate(found.specimens)
    ]
    if cards:
        findings.cases = {
            "captions": config.task == "caption",
            "cards": cards,
            "better": found.better.tolist() if len(records) > 1 else [],
            **describe_cases(found, config.task, len(records)),
        }
    if config.task == "caption":
        findings.strips = make_strips(found.specimens, pictures, watched, findings)
    findings.notes = list(dict.fromkeys(findings.notes))
    return findings


def describe_cases(found: Disagreement, task: str, n_runs: int) -> dict[str, str]:
    """The heading and the words above the cards."""
    shown, items = len(found.specimens), "questions" if task == "vqa" else "images"
    if n_runs == 1:
        lead_text = f"{shown} of the {found.n_items:,} captions; the number is CIDEr."
        return {"title": "What it said", "unit": items, "lead": lead_text}
    same = "the same answer to" if task == "vqa" else "the same caption to"
    number = "the number is the official accuracy" if task == "vqa" else "the number is CIDEr"
    percent = 100 * found.agreed / found.n_items
    return {
        "title": "Where they disagree",
        "unit": items,
        "lead": (
            f"All give {same} {found.agreed:,} of {found.n_items:,} {items} ({percent:.1f} %). "
            f"These are {shown} of the others, one an image, every kind of outcome in turn; "
            f"{number}."
        ),
    }


def watch(
    records: list[RunRecord], runs: list[PageRun], findings: Findings
) -> list[tuple[int, PageRun, Watched]]:
    """The runs that say where they look, with their features."""
    watched = []
    for k, (record, run) in enumerate(zip(records, runs, strict=True)):
        try:
            one = Watched(record.path)
        except (InputError, OSError) as error:
            findings.notes.append(f"No maps of {record.name}: {error}")
            continue
        if one.looks:
            watched.append((k, run, one))
    return watched


def make_card(
    specimen: Specimen,
    runs: list[PageRun],
    pictures: Pictures,
    watched: list[tuple[int, PageRun, Watched]],
    findings: Findings,
) -> dict[str, Any]:
    """One question or image as the template shows it."""
    card: dict[str, Any] = {
        "image": "",
        "image_id": specimen.image_id,
        "question": specimen.question,
        "truth": [f"{text} ({n})" if n > 1 else text for text, n in specimen.truth],
        "maps": [],
        "said": [
            {
                "run": run,
                "text": said.text,
                "right": said.score >= 0.5,
                "score": f"{100 * said.score:.0f} %" if specimen.question else f"{said.score:.2f}",
            }
            for run, said in zip(runs, specimen.said, strict=True)
        ],
    }
    try:
        picture = pictures.picture(specimen.image_id)
        card["image"] = data_uri(picture)
        if specimen.question:
            card["maps"] = [
                {"run": run, "label": label, "image": one.shade(picture, where)}
                for _, run, one in watched
                for label, where in label_maps(one, run, specimen)
            ]
    except InputError as error:
        findings.notes.append(f"Not all pictures are shown: {error}")
    return card


def label_maps(one: Watched, run: PageRun, specimen: Specimen) -> list[tuple[str, Any]]:
    """A run's maps, each with its caption."""
    maps = one.answer_maps(specimen.image_id, specimen.question)
    if len(maps) == 1:
        return [(run.name, maps[0])]
    return [(f"{run.name}, hop {k + 1}", where) for k, where in enumerate(maps)]


def make_strips(
    specimens: list[Specimen],
    pictures: Pictures,
    watched: list[tuple[int, PageRun, Watched]],
    findings: Findings,
) -> list[dict[str, Any]]:
    """The first captions word by word, each run that looks around."""
    strips = []
    for specimen in specimens[:STRIPS]:
        for k, run, one in watched:
            try:
                picture = pictures.picture(specimen.image_id)
                frames = [
                    {"word": word, "image": one.shade(picture, where)}
                    for word, where in one.caption_maps(specimen.image_id, specimen.said[k].text)
                ]
            except InputError as error:
                findings.notes.append(f"Not all maps are shown: {error}")
                continue
            strips.append({"run": run, "image_id": specimen.image_id, "frames": frames})
    return strips
