"""VQA annotations as columns of numbers, scored with array operations."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...datasets.cache import Arrays, string_array, strings_of
from ..ids import check_same_ids
from .accuracy import Groups, Int32, VqaScores, leave_one_out
from .columns import Columns, Numbering, Results
from .json_pieces import IrregularFile

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class AnnotationTable:
    """The annotations of N questions with A answers each.

    ``question_id``, ``image_id`` int64[N]; ``answers`` int32[A, N], in the form in which they are
    compared; ``unanimous`` bool[N] says where that is the stripped one. ``numbers`` has the number
    of every text in either form.
    """

    path: Path
    question_id: Int64
    image_id: Int64
    question_type: Groups
    answer_type: Groups
    answers: Int32
    unanimous: NDArray[np.bool_]
    numbers: dict[str, int]

    @classmethod
    def from_arrays(cls, path: Path, arrays: Arrays) -> "AnnotationTable":
        """The table that ``arrays`` was called on."""
        texts = strings_of(arrays["texts"])
        question_types, answer_types = (
            Groups(strings_of(arrays[f"{kind}_names"]), arrays[kind])
            for kind in ("question_type", "answer_type")
        )
        return cls(
            path,
            arrays["question_id"],
            arrays["image_id"],
            question_types,
            answer_types,
            arrays["answers"],
            arrays["unanimous"],
            dict(zip(texts, range(len(texts)), strict=True)),
        )

    def arrays(self) -> Arrays:
        """All but the path, as arrays to be kept."""
        return {
            "question_id": self.question_id,
            "image_id": self.image_id,
            "question_type": self.question_type.member,
            "question_type_names": string_array(self.question_type.names),
            "answer_type": self.answer_type.member,
            "answer_type_names": string_array(self.answer_type.names),
            "answers": self.answers,
            "unanimous": self.unanimous,
            "texts": string_array(list(self.numbers)),
        }

    @classmethod
    def join(cls, path: Path, parts: list[Columns]) -> "AnnotationTable":
        """Put the columns of a file's parts one after the other.

        Raises ``IrregularFile`` if a question occurs twice.
        """
        question_id = np.concatenate([np.frombuffer(part.question_id, np.int64) for part in parts])
        image_id = np.concatenate([np.frombuffer(part.image_id, np.int64) for part in parts])
        codes = join_codes([(part.answers, len(part.texts.normal)) for part in parts])
        codes = np.ascontiguousarray(codes.reshape(len(question_id), -1).T)
        numbers = Numbering()
        stripped = number(numbers, chain.from_iterable(part.texts.stripped for part in parts))
        normal = number(numbers, chain.from_iterable(part.texts.normal for part in parts))
        written = stripped[codes]
        unanimous = (written == written[0]).all(axis=0)
        table = cls(
            path,
            question_id,
            image_id,
            join_groups([(part.question_type, part.question_types) for part in parts]),
            join_groups([(part.answer_type, part.answer_types) for part in parts]),
            np.where(unanimous, written, normal[codes]),
            unanimous,
            dict(numbers),
        )
        require_distinct(question_id[table.order])
        return table

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The questions in the order of their ids, int64[N]."""
        return np.argsort(self.question_id)

    def only(self, question_id: Int64) -> "AnnotationTable":
        """The table of these questions alone, in its own order; those it lacks are ignored."""
        kept = np.flatnonzero(np.isin(self.question_id, question_id))
        return replace(
            self,
            question_id=self.question_id[kept],
            image_id=self.image_id[kept],
            question_type=take_groups(self.question_type, kept),
            answer_type=take_groups(self.answer_type, kept),
            answers=np.ascontiguousarray(self.answers[:, kept]),
            unanimous=self.unanimous[kept],
        )

    def score(self, path: Path, results: Results, only_predicted: bool = False) -> VqaScores:
        """Score the results in a file, N question ids in any order and their answers.

        Raises ``InputError`` unless these are the annotated questions, or with ``only_predicted``
        some of them, and ``IrregularFile`` if one of them is answered twice.
        """
        question_id = np.frombuffer(results.question_id, np.int64)
        order = np.argsort(question_id)
        require_distinct(question_id[order])
        if only_predicted and (part := self.only(question_id)).question_id.size:
            return part.score(path, results)
        if not np.array_equal(question_id[order], self.question_id[self.order]):
            check_same_ids(
                "question_id",
                (path, question_id.tolist()),
                (self.path, self.question_id.tolist()),
            )
        result_row = np.empty_like(order)
        result_row[self.order] = order
        given = np.frombuffer(results.answer, np.int32)[result_row]
        stripped, normal = (
            np.array([self.numbers.get(text, -1) for text in texts], np.int32)
            for texts in (results.texts.stripped, results.texts.normal)
        )
        predicted = np.where(self.unanimous, stripped[given], normal[given])
        return VqaScores(
            self.question_id.tolist(),
            self.image_id.tolist(),
            self.question_type,
            self.answer_type,
            leave_one_out(self.answers == predicted),
            n_lost=len(self.question_id) if len(self.answers) == 1 else 0,
        )


def require_distinct(sorted_ids: Int64) -> None:
    """Raise ``IrregularFile`` if an id stands beside itself: the plain reader says where."""
    if (sorted_ids[1:] == sorted_ids[:-1]).any():
        raise IrregularFile


def take_groups(groups: Groups, rows: NDArray[np.intp]) -> Groups:
    """The groups of these questions alone, without those that have none of them."""
    if not groups.names:
        return groups
    found, first, member = np.unique(groups.member[rows], return_index=True, return_inverse=True)
    order = np.argsort(first)  # groups stand in the order in which they first occur
    names = [groups.names[number] for number in found[order].tolist()]
    return Groups(names, np.argsort(order)[member.reshape(-1)].astype(np.int32))


def join_codes(parts: list[tuple[bytes, int]]) -> Int32:
    """Join columns that each number into a list of their own, of that length, as into all lists."""
    ends = np.cumsum([0, *(size for _, size in parts)], dtype=np.int32)
    columns = (np.frombuffer(column, np.int32) for column, _ in parts)
    return np.concatenate([column + end for column, end in zip(columns, ends, strict=False)])


def number(numbers: Numbering, texts: Iterable[str]) -> Int32:
    """The number of each text, int32; new ones are given numbers."""
    return np.array([numbers[text] for text in texts], np.int32)


def join_groups(parts: list[tuple[bytes, list[str]]]) -> Groups:
    """Join columns of question or answer types, which are numbered as they first occur."""
    numbers = Numbering()
    shared = number(numbers, chain.from_iterable(names for _, names in parts))
    member = shared[join_codes([(column, len(names)) for column, names in parts])]
    return Groups(list(numbers), member)
