"""The part of a report on single images: pictures, what runs said, and where they looked."""

from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..explain.html import PageRun
from .pictures import Pictures, Watched, data_uri
from .ranking import Scored
from .runs import RunRecord
from .disagreement import RIGHT, Disagreement, Specimen, compare_answers, compare_captions

CASES = {"vqa": 24, "caption": 12}  # questions, or images to be described, that are shown
MAPPED = 8  # of the questions, with maps of where runs looked
STRIPS = 2  # images whose captions are shown word by word


@dataclass
class Findings:
    """What was found out about single images, and what could not be."""

    cases: dict[str, Any] | None = None
    strips: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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
        found = compare(evaluations, config.data, config.split, CASES[config.task])
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
        if one.has_attention:
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
                "right": said.score >= RIGHT,
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
