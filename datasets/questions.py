"""VQA questions: an official questions file to one checked table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .dataset import Dataset
from .formats import Questions, SourceFile, decode
from .ids import Id, id_names, number_of


@dataclass(frozen=True)
class QuestionTable:
    """The questions of a split, in the file's order.

    ``question_id`` and ``image_id`` are int64 [Q]; ``text`` holds the questions as written, and
    ``id_names`` the question ids that are no numbers, by the number that stands for each.
    """

    question_id: NDArray[np.int64]
    image_id: NDArray[np.int64]
    text: list[str]
    id_names: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.text)


def load_questions(dataset: Dataset, split: str) -> QuestionTable:
    """The split's questions.

    Raises ``InputError`` when the file is missing, not in the format, empty, or names an id twice.
    """
    return read_questions(dataset.source(dataset.questions_path(split)))


def read_questions(path: Path | SourceFile) -> QuestionTable:
    """As ``load_questions``, from a file."""
    questions = decode(path, Questions).questions
    if not questions:
        raise InputError(f'{path}: holds no question; expected a list "questions" with entries.')
    written = [q.question_id for q in questions]
    question_id = id_array(written, path)
    image_id = id_array([q.image_id for q in questions], path)
    check_distinct(question_id, path, "questions", "question_id", written)
    texts = [q.question for q in questions]
    return QuestionTable(question_id, image_id, texts, id_names(written))


def id_array(ids: Sequence[Id], path: Path | SourceFile) -> NDArray[np.int64]:
    """The numbers of some ids, int64; ``InputError`` if one does not fit."""
    if set(map(type, ids)) - {int}:
        ids = [number_of(value) for value in ids]
    try:
        return np.array(ids, np.int64)
    except OverflowError:
        raise InputError(f"{path}: an id is too large; expected ids below 2**63.") from None


def check_distinct(
    ids: NDArray[np.int64],
    path: Path | SourceFile,
    entries: str,
    name: str,
    written: Sequence[Id] = (),
) -> None:
    """Raise ``InputError`` naming the first entry whose id an earlier entry has.

    ``written`` are the ids as they are written.
    """
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    repeated = np.flatnonzero(first[inverse] != np.arange(len(ids)))
    if len(repeated):
        index = int(repeated[0])
        earlier = int(first[inverse[index]])
        raise InputError(
            f"{path}: {entries}[{index}] has the {name} {(written or ids)[index]} of "
            f"{entries}[{earlier}]; expected distinct ids."
        )
