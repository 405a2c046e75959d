"""VQA answers: an official annotations file to one checked table."""

from array import array
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .dataset import Dataset
from .formats import Annotation, SourceFile, decode
from .ids import Id
from .questions import QuestionTable, check_distinct, id_array


class AnnotationEntries(msgspec.Struct):
    """An annotations file whose entries are still undecoded.

    They are decoded one by one: 4 million answers at once as objects would take a gigabyte, while
    few of their strings are distinct.
    """

    annotations: list[msgspec.Raw]


@dataclass(frozen=True)
class AnswerTable:
    """The answers to a split's questions, question by question, in the annotations file's order.

    ``question_id`` and ``image_id`` are int64 [Q]. The answers to question q are the entries
    ``indptr[q]:indptr[q + 1]`` (``indptr`` int64 [Q+1]) of ``text_index``, int32, indices into
    ``texts``, which holds each distinct answer once, as written. ``person``, int32, is equal for
    two entries whose id and confidence are equal: the official accuracy leaves out all answers
    equal in text and in these, not just one.
    """

    question_id: NDArray[np.int64]
    image_id: NDArray[np.int64]
    indptr: NDArray[np.int64]
    text_index: NDArray[np.int32]
    person: NDArray[np.int32]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.question_id)

    def answers(self, q: int) -> list[str]:
        """The answers to the question in row ``q``, as written."""
        rows = self.text_index[self.indptr[q] : self.indptr[q + 1]].tolist()
        return [self.texts[i] for i in rows]


def load_answers(dataset: Dataset, split: str) -> AnswerTable:
    """The split's answers.

    Raises ``InputError`` when the file is missing, not in the format, empty, or names a question
    id twice.
    """
    return read_answers(dataset.source(dataset.annotations_path(split)))


def read_answers(path: Path | SourceFile) -> AnswerTable:
    """As ``load_answers``, from a file."""
    # Each new text and each new person takes the next number.
    texts: defaultdict[str, int] = defaultdict(count().__next__)
    people: defaultdict[Hashable, int] = defaultdict(count().__next__)
    question_ids: list[Id] = []
    image_ids: list[Id] = []
    n_answers: list[int] = []
    text_index, person = array("i"), array("i")
    decoder = msgspec.json.Decoder(Annotation)
    for i, raw in enumerate(decode(path, AnnotationEntries).annotations):
        try:
            entry = decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: annotations[{i}] does not fit: {error}.") from error
        question_ids.append(entry.question_id)
        image_ids.append(entry.image_id)
        n_answers.append(len(entry.answers))
        text_index.extend([texts[given.answer] for given in entry.answers])
        person.extend([people[given.answer_id, given.answer_confidence] for given in entry.answers])
    if not question_ids:
        raise InputError(
            f'{path}: holds no annotation; expected a list "annotations" with entries.'
        )
    table = AnswerTable(
        question_id=id_array(question_ids, path),
        image_id=id_array(image_ids, path),
        indptr=np.concatenate([[0], np.cumsum(n_answers, dtype=np.int64)]),
        text_index=np.array(text_index, np.int32),
        person=np.array(person, np.int32),
        texts=list(texts),
    )
    check_distinct(table.question_id, path, "annotations", "question_id", question_ids)
    return table


def align_answers(
    questions: QuestionTable,
    answers: AnswerTable,
    questions_path: Path | SourceFile,
    annotations_path: Path | SourceFile,
) -> AnswerTable:
    """The answers in the order of the questions.

    Raises ``InputError`` naming the entry when a question has no annotation, an annotation no
    question, or when both name different images.
    """
    order = np.argsort(answers.question_id, kind="stable")
    position = np.searchsorted(answers.question_id, questions.question_id, sorter=order)
    rows = order[np.minimum(position, len(order) - 1)]
    unmatched = np.flatnonzero(answers.question_id[rows] != questions.question_id)
    if len(unmatched):
        q = int(unmatched[0])
        raise InputError(
            f"{questions_path}: questions[{q}] (question_id {questions.question_id[q]}) has no "
            f"annotation in {annotations_path} ({len(unmatched)} such in all); expected one for "
            "each question."
        )
    if len(answers) > len(questions):
        extra = np.setdiff1d(np.arange(len(answers)), rows)
        raise InputError(
            f"{annotations_path}: annotations[{extra[0]}] (question_id "
            f"{answers.question_id[extra[0]]}) has no question in {questions_path} ({len(extra)} "
            "such in all); expected one for each annotation."
        )
    other_image = np.flatnonzero(answers.image_id[rows] != questions.image_id)
    if len(other_image):
        q = int(other_image[0])
        raise InputError(
            f"{questions_path}: questions[{q}] (question_id {questions.question_id[q]}) is on the "
            f"image {questions.image_id[q]}, but {annotations_path} says "
            f"{answers.image_id[rows[q]]}; expected the same image in both."
        )
    return take_questions(answers, rows)


def take_questions(answers: AnswerTable, rows: NDArray[np.int64]) -> AnswerTable:
    """The table of the questions in these rows, in this order."""
    n_answers = np.diff(answers.indptr)[rows]
    indptr = np.concatenate([[0], np.cumsum(n_answers)])
    # Each entry's index: the start of its question's answers plus its number among them.
    entries = np.arange(indptr[-1]) + np.repeat(answers.indptr[rows] - indptr[:-1], n_answers)
    return AnswerTable(
        answers.question_id[rows],
        answers.image_id[rows],
        indptr,
        answers.text_index[entries],
        answers.person[entries],
        answers.texts,
    )
