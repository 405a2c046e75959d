"""VQA files read entry by entry with Python's own decoder: all that the official code accepts.

Ids may be numbers, strings or even NaN, questions may have one answer or twenty, with ``answer_id``
or without. What would break the official code raises an ``InputError`` that names file and entry.
"""

import json
from collections import Counter
from collections.abc import Collection, Hashable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...datasets.formats import SourceFile, read_bytes
from ...datasets.ids import canonical
from ...datasets.layouts.table import describe_unknown
from ...errors import InputError
from ..ids import shorten
from .columns import decode_ids
from .json_pieces import IrregularFile


@dataclass(frozen=True)
class AnnotationEntries:
    """The annotations of N questions, checked; ``by_id`` holds them in the order of the file.

    ``types``: those of "question_type" and "answer_type" that all entries have.
    """

    path: Path
    by_id: dict[Hashable, dict[str, Any]]
    types: frozenset[str]

    def only(self, questions: Collection[Hashable]) -> "AnnotationEntries":
        """Those of these questions alone; all, if it has none of them."""
        part = {name: entry for name, entry in self.by_id.items() if name in questions}
        return replace(self, by_id=part or self.by_id)


def decode_text(path: Path, data: bytes) -> str:
    """A file's text. Raises ``InputError`` for what is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8 text; save the file as UTF-8."
        ) from error


def load_json(path: Path, data: bytes, unique_keys: bool = False) -> Any:
    """What a file's text holds. Raises ``InputError`` for what is not JSON in UTF-8.

    With ``unique_keys`` also for an object that has a key twice, of which the last would count.
    """

    def as_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, n in Counter(key for key, _ in pairs).items():
            if n > 1:
                raise InputError(f"{path}: has {shorten(key)} {n} times; keep one.")
        return dict(pairs)

    text = decode_text(path, data)
    try:
        return json.loads(text, object_pairs_hook=as_dict if unique_keys else None)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{path}: not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}; "
            "the file may be cut short or damaged, so write it again."
        ) from error
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply to be a VQA file.") from error
    except InputError:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise InputError(f"{path}: holds a number that is too long: {error}.") from error


def read_annotations(path: Path, text: bytes) -> AnnotationEntries:
    """Parse and check an annotations file."""
    content = load_json(path, text)
    entries = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise InputError(f"{path}: {describe_unknown(SourceFile(path, text))}.")
    if not entries:
        raise InputError(f"{path}: holds no annotation, so there is nothing to score.")
    by_id: dict[Hashable, dict[str, Any]] = {}
    for i, entry in enumerate(entries):
        location = f"{path}: annotations[{i}]"
        question = canonical_id(checked_id(location, entry, "question_id"))
        if question in by_id:
            raise InputError(
                f"{location}: question_id {shorten(question)} occurs twice; every question must be "
                "annotated once."
            )
        checked_id(location, entry, "image_id")
        check_answers(location, entry)
        by_id[question] = entry
    return AnnotationEntries(path, by_id, check_types(path, entries))


def checked_id(location: str, entry: object, key: str) -> Hashable:
    """The entry's id. Raises ``InputError`` unless it is a number, a string or the like."""
    if not isinstance(entry, dict):
        raise InputError(f"{location} is {shorten(entry)}; expected an object with {key!r}.")
    if key not in entry:
        raise InputError(f"{location} has no {key!r}; every entry must have one.")
    value = entry[key]
    if isinstance(value, (list, dict)):
        raise InputError(f"{location}: {key!r} is {shorten(value)}; expected a number or a string.")
    return value  # type: ignore[no-any-return]


def check_answers(location: str, entry: dict[str, Any]) -> None:
    """Raise ``InputError`` unless the entry holds one answer or more, each with its text."""
    name = f"{location} (question_id {shorten(entry['question_id'])})"
    answers = entry.get("answers")
    if not isinstance(answers, list) or not answers:
        raise InputError(
            f'{name}: "answers" is {shorten(answers)}; expected a list of one answer or more '
            '({"answer": ..., "answer_id": ...}); remove questions that nobody answered.'
        )
    for k, answer in enumerate(answers):
        if not isinstance(answer, dict) or not isinstance(answer.get("answer"), str):
            raise InputError(
                f"{name}: answers[{k}] is {shorten(answer)}; expected an object whose "
                '"answer" is a string.'
            )


def check_types(path: Path, entries: list[dict[str, Any]]) -> frozenset[str]:
    """The types, of question and of answer, that the entries have: of each all of them or none.

    The official code needs both. Sets without are scored all the same, without the tables.
    """
    types = [
        key for key in ("question_type", "answer_type") if any(key in entry for entry in entries)
    ]
    for key in types:
        for i, entry in enumerate(entries):
            checked_id(f"{path}: annotations[{i}]", entry, key)
    return frozenset(types)


def read_predictions(path: Path, text: bytes) -> dict[Hashable, str]:
    """Parse and check a results file: question id to answer."""
    content = load_json(path, text)
    if not isinstance(content, list):
        raise InputError(
            f'{path}: not a results file; expected a list of {{"question_id": ..., "answer": ...}}.'
        )
    predictions: dict[Hashable, str] = {}
    for i, entry in enumerate(content):
        location = f"{path}: entry {i}"
        question = checked_id(location, entry, "question_id")
        answer = entry.get("answer")
        if not isinstance(answer, str):
            raise InputError(
                f'{location} (question_id {shorten(question)}): "answer" is {shorten(answer)}; '
                "expected a string."
            )
        if question in predictions:
            raise InputError(
                f"{location}: question_id {shorten(question)} is answered twice; keep one answer."
            )
        predictions[question] = answer
    return predictions


def number_ids(path: Path, predictions: dict[Hashable, str]) -> dict[Hashable, str]:
    """The predictions by canonical ids: "7" and 7.0 are 7.

    CSV files and keys of objects have strings, pandas writes 7.0, and both mean the number. Raises
    ``InputError`` if one question is answered under two of these.
    """
    numbered = {canonical_id(item): answer for item, answer in predictions.items()}
    if len(numbered) < len(predictions):
        ((twice, _),) = Counter(map(canonical_id, predictions)).most_common(1)
        raise InputError(
            f"{path}: question_id {shorten(twice)} is answered twice, once as a number and once as "
            "a string; keep one answer."
        )
    return numbered


def canonical_id(item: Hashable) -> Hashable:
    """The whole number that a string or a float means; anything else, NaN too, as it is."""
    if isinstance(item, str) or (isinstance(item, float) and item.is_integer()):
        return canonical(item)
    return item


def read_question_ids(path: Path) -> set[Hashable]:
    """The ids of a questions file."""
    text = read_bytes(path)
    with suppress(IrregularFile):
        numbers = decode_ids(text)
        if len(set(numbers)) == len(numbers):
            return set(numbers)
    content = load_json(path, text)
    entries = content.get("questions") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise InputError(
            f'{path}: not a VQA questions file; expected an object with a list "questions".'
        )
    ids: set[Hashable] = set()
    for i, entry in enumerate(entries):
        question = canonical_id(checked_id(f"{path}: questions[{i}]", entry, "question_id"))
        if question in ids:
            raise InputError(
                f"{path}: questions[{i}]: question_id {shorten(question)} occurs twice; remove one."
            )
        ids.add(question)
    return ids
