"""What was asked, what was predicted and what people said, of each question or image."""

from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import NamedTuple

from ..datasets.captions import read_captions
from ..datasets.formats import Annotations, SourceFile, decode, read_bytes, read_source, unpack
from ..errors import InputError
from .captions.results import read_caption_results
from .reference_files import CaptionReferences, References
from .vqa.entries import canonical_id, load_json, number_ids, read_annotations, read_predictions

Truth = dict[Hashable, dict[str, int]]  # id -> text -> how many people said so, the most first


class ItemTexts(NamedTuple):
    """By question id, or of captions by image id; what is not known is left out."""

    question: dict[Hashable, str]
    truth: Truth


def read_texts(references: References) -> ItemTexts:
    """The questions, if there is a file of them, and what people said."""
    if isinstance(references, CaptionReferences):
        by_image = read_captions(references.path, references.split).by_image()
        return ItemTexts({}, {image: count(texts) for image, texts in by_image.items()})
    if references.rule == "gqa":  # whose file is of another kind
        return ItemTexts({}, {})
    questions = references.questions or references.asked
    return ItemTexts(read_questions(questions) if questions else {}, read_truth(references.source))


def read_truth(annotations: Path | SourceFile) -> Truth:
    """Each question's answers, from its annotations."""
    source = annotations if isinstance(annotations, SourceFile) else read_source(annotations)
    try:
        decoded = decode(source, Annotations).annotations
    except InputError:  # odd ids, say, which the official code takes: slower, and with more memory
        entries = read_annotations(source.path, unpack(source.path, source.data)).by_id
        return {q: count([a["answer"] for a in entry["answers"]]) for q, entry in entries.items()}
    return {each.question_id: count([a.answer for a in each.answers]) for each in decoded}


def count(texts: list[str]) -> dict[str, int]:
    """How often each text stands there, the most frequent first."""
    return dict(Counter(texts).most_common())


def read_questions(path: Path) -> dict[Hashable, str]:
    """Question id to question."""
    return {
        canonical_id(entry["question_id"]): entry["question"]
        for entry in load_json(path, read_bytes(path))["questions"]
        if isinstance(entry.get("question"), str)
    }


def read_predicted(results: Path | SourceFile, task: str) -> dict[Hashable, str]:
    """The answer to each question, or the caption of each image."""
    if task == "caption":
        return dict(read_caption_results(results).items())
    source = results if isinstance(results, SourceFile) else read_source(results)
    predictions = read_predictions(source.path, unpack(source.path, source.data))
    return number_ids(source.path, predictions)
