"""Official scores of plain lists and dicts: the figures that ``score`` finds in files of them."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ..datasets.captions import References as CaptionReferences
from ..datasets.captions import read_references
from ..datasets.formats import SourceFile
from ..errors import InputError
from ..evaluate.evaluation import Evaluation
from ..evaluate.ids import shorten
from ..evaluate.numba_cache import choose_numba_cache
from ..evaluate.score_objects import evaluation_object
from ..evaluate.vqa.accuracy import Groups
from ..evaluate.vqa.columns import no_garbage_collection
from ..evaluate.vqa.entries import canonical_id, checked_id
from ..evaluate.vqa.references import VqaReferences

# What messages call the two, as files are called by their paths.
PREDICTIONS, REFERENCES = Path("predictions"), Path("references")

Predictions = Mapping[Any, str] | Iterable[Mapping[str, Any]]
References = Mapping[Any, Sequence[str]] | Mapping[str, Any] | Iterable[Mapping[str, Any]]


def score_vqa(predictions: Predictions, references: References) -> dict[str, Any]:
    """The official VQA accuracy (Antol et al. 2015), in percent.

    ``predictions``: ``{question_id: answer}``, or the official list of ``{"question_id",
    "answer"}``. ``references``: ``{question_id: the answers of ten people}``, or the official
    annotations, as a list or as the object of the file. Returns what ``score --json`` writes:
    ``task``, ``n``, ``overall``, ``per_answer_type``, ``per_question_type`` (both empty where the
    references say no types) and ``signature``. Raises ``InputError`` unless there is exactly one
    answer for every question.
    """
    with no_garbage_collection():
        texts, official = by_id(references), as_official(references)
        if texts is not None:
            official = {"annotations": [annotation(*pair) for pair in texts.items()]}
        entries = list_entries(predictions, "question_id", "answer")
        files = in_memory(REFERENCES, official), in_memory(PREDICTIONS, entries)
    scores = VqaReferences(files[0]).score(files[1])
    if texts is not None:
        none = Groups([], np.zeros(0, np.int32))
        scores = replace(scores, question_type=none, answer_type=none)
    return evaluation_object(Evaluation(PREDICTIONS, scores))


def annotation(question: Hashable, answers: list[str]) -> dict[str, Any]:
    """An official annotation of answers alone; its types are empty, which ``score_vqa`` drops."""
    people = [{"answer": answer, "answer_id": k} for k, answer in enumerate(answers, 1)]
    about = {"question_id": question, "image_id": question, "answers": people}
    return {**about, "question_type": "", "answer_type": ""}


def score_captions(predictions: Predictions, references: References) -> dict[str, Any]:
    """BLEU-1 to BLEU-4, ROUGE-L and CIDEr-D as pycocoevalcap has them, fractions.

    ``predictions``: ``{image_id: caption}``, or the official list of ``{"image_id", "caption"}``.
    ``references``: ``{image_id: captions}``, or the official annotations, as a list or as the
    object of COCO's file. In dicts, image ids may be strings, such as file names. Returns what
    ``score --json`` writes: ``task``, ``n``, ``bleu`` (four of them), ``rouge_l``, ``cider`` and
    ``signature``. Raises ``InputError`` unless there is exactly one caption for every image.
    """
    choose_numba_cache(lambda text: None)  # before Numba is imported, as it is for long texts
    from ..evaluate.captions.results import score_results

    by_image: Mapping[Any, list[str]] | None = by_id(references)
    if by_image is None:
        known = read_references(in_memory(REFERENCES, as_official(references)), "val")
    else:
        canonical: dict[Any, list[str]] = {canonical_id(i): texts for i, texts in by_image.items()}
        known = CaptionReferences(canonical)
    captions = read_captions_of(list_entries(predictions, "image_id", "caption"))
    scores = score_results(PREDICTIONS, captions, REFERENCES, known)
    return evaluation_object(Evaluation(PREDICTIONS, scores))


def by_id(references: object) -> dict[Hashable, list[str]] | None:
    """``{id: texts}`` with plain ids, None for references in an official layout."""
    if not isinstance(references, Mapping) or "annotations" in references:
        return None
    found: dict[Hashable, list[str]] = {}
    for name, given in plain(list(references.items())):
        if not isinstance(given, list | tuple) or not given or set(map(type, given)) != {str}:
            raise InputError(
                f"{REFERENCES}: {shorten(name)} has {shorten(given)}; expected a list of strings: "
                "the answers to a question, or the captions of an image."
            )
        found[name] = list(given)
    if not found:
        raise InputError(f"{REFERENCES}: an empty dict, so there is nothing to score.")
    return found


def as_official(references: object) -> object:
    """References as the object that an official file holds."""
    if isinstance(references, Mapping):
        return references
    if isinstance(references, str | bytes) or not isinstance(references, Iterable):
        raise InputError(
            f"{REFERENCES}: {shorten(plain(references))}; expected {{id: [text, ...]}} or the "
            "official list of annotations."
        )
    return {"annotations": list(references)}


def list_entries(predictions: object, id_key: str, text_key: str) -> list[Any]:
    """Predictions as the official list of entries."""
    if isinstance(predictions, Mapping):
        return [{id_key: name, text_key: text} for name, text in predictions.items()]
    if isinstance(predictions, str | bytes) or not isinstance(predictions, Iterable):
        raise InputError(
            f"{PREDICTIONS}: {shorten(plain(predictions))}; expected {{id: text}} or a list of "
            f'objects with "{id_key}" and "{text_key}".'
        )
    return list(predictions)


def read_captions_of(entries: list[Any]) -> dict[Hashable, str]:
    """Image id to caption; "7" and 7.0 are 7."""
    captions: dict[Hashable, str] = {}
    for i, entry in enumerate(plain(entries)):
        location = f"{PREDICTIONS}: entry {i}"
        image = checked_id(location, entry, "image_id")
        image, caption = canonical_id(image), entry.get("caption")
        if not isinstance(caption, str):
            raise InputError(f'{location}: "caption" is {shorten(caption)}; expected a string.')
        if image in captions:
            raise InputError(f"{location}: image {shorten(image)} is captioned twice; keep one.")
        captions[image] = caption
    return captions


def in_memory(path: Path, content: object) -> SourceFile:
    """The JSON file that the content would be."""
    return SourceFile(path, msgspec.json.encode(content, enc_hook=convert))


def plain(content: Any) -> Any:
    """The content with plain numbers and strings for NumPy's; ``InputError`` for other objects."""
    return msgspec.to_builtins(content, enc_hook=convert)


def convert(value: Any) -> Any:
    """What JSON has for an object of NumPy's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise InputError(
        f"{value!r}: expected numbers, strings, lists and dicts, not {type(value).__name__}."
    )
