"""The examples on a report's page: cards with pictures, and captions with each word's attention."""

from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..explain.html import PageRun
from ..explain.overlay import data_uri
from ..predict.inference import AttentionMap
from .disagreement import RIGHT, Disagreement, Example, compare_answers, compare_captions
from .pictures import RunAttention, SplitPictures
from .ranking import Ranking
from .runs import RunRecord

N_EXAMPLES = {"vqa": 24, "caption": 12}  # questions, or images with captions
N_OVERLAID = 8  # of the questions, that are shown with attention
N_STRIPS = 2  # images whose captions are shown word by word


@dataclass
class ExampleSection:
    """The template's values for cards and strips, and notes on what is left out."""

    examples: dict[str, Any] | None = None
    strips: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AttentiveRun:
    """A run with attention: its index among the runs, and how it appears on the page."""

    index: int
    page_run: PageRun
    attention: RunAttention


def build_examples(
    records: list[RunRecord], ranking: Ranking, page_runs: list[PageRun]
) -> ExampleSection:
    """Examples on which the runs disagree, with as many pictures and maps as are available."""
    section = ExampleSection()
    evaluations = [run.evaluation for run in ranking.runs if run.evaluation is not None]
    config = records[0].config
    if len(evaluations) < len(records) or not ranking.is_comparable:
        return section  # the ranking's notes say why
    compare = compare_answers if config.task == "vqa" else compare_captions
    try:
        found = compare(evaluations, config.data, config.split, N_EXAMPLES[config.task])
        pictures = SplitPictures(config.data, config.split)
    except (InputError, OSError) as error:
        section.notes.append(f"No examples are shown: {error}")
        return section
    attentive = open_attention(records, page_runs, section)
    cards = [
        make_card(example, page_runs, pictures, attentive if k < N_OVERLAID else [], section)
        for k, example in enumerate(found.examples)
    ]
    if cards:
        section.examples = {
            "captions": config.task == "caption",
            "cards": cards,
            "has_overlays": any(card["overlays"] for card in cards),
            "better": found.better.tolist() if len(records) > 1 else [],
            **describe_examples(found, config.task, len(records)),
        }
    if config.task == "caption":
        section.strips = make_strips(found.examples, pictures, attentive, section)
    section.notes = list(dict.fromkeys(section.notes))
    return section


def describe_examples(found: Disagreement, task: str, n_runs: int) -> dict[str, str]:
    """The heading and the sentence above the cards."""
    shown, items = len(found.examples), "questions" if task == "vqa" else "images"
    number = "the number is the official accuracy" if task == "vqa" else "the number is CIDEr"
    if n_runs == 1:
        how = "right and wrong answers in turn" if task == "vqa" else "drawn at random"
        lead_text = f"{shown} of the {found.n_items:,} {items}, one an image, {how}; {number}."
        return {"title": "Examples", "unit": items, "lead": lead_text}
    same = "the same answer to" if task == "vqa" else "the same caption to"
    percent = 100 * found.n_agreed / found.n_items
    return {
        "title": "Where they disagree",
        "unit": items,
        "lead": (
            f"All runs give {same} {found.n_agreed:,} of {found.n_items:,} {items} "
            f"({percent:.1f} %). These are {shown} of the others, one an image, every kind of "
            f"outcome in turn; {number}."
        ),
    }


def open_attention(
    records: list[RunRecord], page_runs: list[PageRun], section: ExampleSection
) -> list[AttentiveRun]:
    """The runs that have attention, with their features; a note for those that lack files."""
    found = []
    for k, (record, page_run) in enumerate(zip(records, page_runs, strict=True)):
        try:
            attention = RunAttention(record.path)
        except (InputError, OSError) as error:
            section.notes.append(f"No attention of {record.name} is shown: {error}")
            continue
        if attention.exists:
            found.append(AttentiveRun(k, page_run, attention))
    return found


def make_card(
    example: Example,
    page_runs: list[PageRun],
    pictures: SplitPictures,
    attentive: list[AttentiveRun],
    section: ExampleSection,
) -> dict[str, Any]:
    """The template's values for one question or image."""
    card: dict[str, Any] = {
        "image": "",
        "image_id": example.image_id,
        "question": example.question,
        "truth": [f"{text} ({n})" if n > 1 else text for text, n in example.truth],
        "overlays": [],
        "outputs": [
            {
                "run": page_run,
                "text": output.text,
                "right": output.score >= RIGHT,
                "score": format_score(example, output.score),
            }
            for page_run, output in zip(page_runs, example.outputs, strict=True)
        ],
    }
    try:
        picture = pictures.picture(example.image_id)
        card["image"] = data_uri(picture)
        if example.question:
            card["overlays"] = [
                {"run": run.page_run, "label": label, "image": run.attention.draw(picture, one)}
                for run in attentive
                for label, one in label_maps(run, example)
            ]
    except InputError as error:
        section.notes.append(f"Not all pictures are shown: {error}")
    return card


def format_score(example: Example, score: float) -> str:
    """An accuracy in percent, or a CIDEr."""
    return f"{100 * score:.0f} %" if example.question else f"{score:.2f}"


def label_maps(run: AttentiveRun, example: Example) -> list[tuple[str, AttentionMap]]:
    """Each map of a run's attention, with its label."""
    maps = run.attention.of_question(example.image_id, example.question)
    name = run.page_run.name
    return [(f"{name}, {label}" if len(maps) > 1 else name, one) for label, one in maps]


def make_strips(
    examples: list[Example],
    pictures: SplitPictures,
    attentive: list[AttentiveRun],
    section: ExampleSection,
) -> list[dict[str, Any]]:
    """The first captions word by word, of each run with attention."""
    strips = []
    for example in examples[:N_STRIPS]:
        for run in attentive:
            caption = example.outputs[run.index].text
            try:
                picture = pictures.picture(example.image_id)
                frames = [
                    {
                        "word": word,
                        "probability": f"{100 * probability:.0f} %",
                        "image": run.attention.draw(picture, one),
                    }
                    for word, probability, one in run.attention.of_caption(
                        example.image_id, caption
                    )
                ]
            except InputError as error:
                section.notes.append(f"Not all attention is shown: {error}")
                continue
            strips.append({"run": run.page_run, "image_id": example.image_id, "frames": frames})
    return strips
