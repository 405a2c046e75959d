"""VQA annotations as columns of numbers, scored with array operations."""

from array import array
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .answers import normalize_answer, strip_answer
from .ids import check_same_ids
from .json_pieces import IrregularFile
from .vqa_accuracy import Groups, Int32, VqaScores, leave_one_out
from .vqa_columns import Columns, Numbering

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class AnnotationTable:
    """The annotations of N questions with A answers each.

    ``question_id``, ``image_id`` int64[N]; ``answers`` int32[N, A] numbers into ``strings``, the
    answers as written.
    """

    path: Path
    question_id: Int64
    image_id: Int64
    question_type: Groups
    answer_type: Groups
    answers: Int32
    strings: list[str]

    @classmethod
    def join(cls, path: Path, parts: list[Columns]) -> "AnnotationTable":
        """Put the columns of a file's parts one after the other.

        Raises ``IrregularFile`` if a question occurs twice.
        """
        types, strings = Numbering(), Numbering()
        question_type = renumber([(part.question_type, part.types) for part in parts], types)
        answer_type = renumber([(part.answer_type, part.types) for part in parts], types)
        answers = renumber([(part.answers, part.strings) for part in parts], strings)
        table = cls(
            path,
            np.concatenate([np.frombuffer(part.question_id, np.int64) for part in parts]),
            np.concatenate([np.frombuffer(part.image_id, np.int64) for part in parts]),
            group_numbers(question_type, list(types)),
            group_numbers(answer_type, list(types)),
            answers.reshape(len(question_type), -1),
            list(strings),
        )
        sorted_ids = table.question_id[table.order]
        if (sorted_ids[1:] == sorted_ids[:-1]).any():
            raise IrregularFile
        return table

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The questions in the order of their ids, int64[N]."""
        return np.argsort(self.question_id, kind="stable")

    @cached_property
    def compared(self) -> tuple[Int32, NDArray[np.bool_], dict[str, int]]:
        """The answers as they are compared, int32[N, A], which questions are unanimous, bool[N],
        and the number of every string that is compared.
        """
        numbers = Numbering()
        stripped = [strip_answer(text) for text in self.strings]
        normal = np.array([numbers[normalize_answer(text)] for text in stripped], np.int32)
        written = np.array([numbers[text] for text in stripped], np.int32)[self.answers]
        unanimous = (written == written[:, :1]).all(axis=1)
        answers = np.where(unanimous[:, None], written, normal[self.answers])
        return answers, unanimous, dict(numbers)

    def score(self, path: Path, ids: "array[int]", predictions: list[str]) -> VqaScores:
        """Score the results of a file: N question ids, in any order, and their answers.

        Raises ``InputError`` unless these are the annotated questions, and ``IrregularFile`` if one
        of them is answered twice.
        """
        question_id = np.frombuffer(ids, np.int64)
        order = np.argsort(question_id, kind="stable")
        sorted_ids = question_id[order]
        if (sorted_ids[1:] == sorted_ids[:-1]).any():
            raise IrregularFile
        if not np.array_equal(sorted_ids, self.question_id[self.order]):
            annotated = (self.path, self.question_id.tolist())
            check_same_ids("question_id", (path, question_id.tolist()), annotated)
        place = np.empty_like(order)
        place[self.order] = order
        answers, unanimous, numbers = self.compared
        stripped = [strip_answer(text) for text in predictions]
        normal = {text: numbers.get(normalize_answer(text), -1) for text in set(stripped)}
        as_written = np.array([numbers.get(text, -1) for text in stripped], np.int32)[place]
        normalized = np.array([normal[text] for text in stripped], np.int32)[place]
        predicted = np.where(unanimous, as_written, normalized)
        return VqaScores(
            self.question_id.tolist(),
            self.image_id.tolist(),
            self.question_type,
            self.answer_type,
            leave_one_out(answers == predicted[:, None]),
        )


def renumber(parts: list[tuple[bytes, list[str]]], strings: Numbering) -> Int32:
    """Join int32 columns that number into strings of their own into one that shares ``strings``."""
    joined = []
    for column, names in parts:
        numbers = np.array([strings[name] for name in names], np.int32)
        joined.append(numbers[np.frombuffer(column, np.int32)])
    return np.concatenate(joined)


def group_numbers(numbers: Int32, names: list[str]) -> Groups:
    """Groups with only the names that occur, in the order in which they first occur."""
    used, first, member = np.unique(numbers, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return Groups([names[number] for number in used[order]], rank[member.reshape(-1)])
