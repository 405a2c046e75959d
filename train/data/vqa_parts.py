"""Questions and answers of the parts of splits that a run trains on, as one table."""

from collections.abc import Sequence

import numpy as np

from ...datasets.annotations import AnswerTable, take_questions
from ...datasets.questions import QuestionTable
from .selection import Division


def join_parts(
    division: Division, parsed: Sequence[tuple[QuestionTable, AnswerTable | None]]
) -> tuple[QuestionTable, AnswerTable]:
    """The tables of a division's training parts, one after the other, from those of whole splits.

    Images are known by their numbers there (see ``Division``). Question ids may repeat between
    splits.
    """
    parts = []
    for k, (part, (questions, answers)) in enumerate(zip(division.train, parsed, strict=True)):
        assert answers is not None
        if part.image_ids is None:
            parts.append((questions, answers))
            continue
        rows = np.flatnonzero(part.keeps(questions.image_id))
        image = division.numbers(k, questions.image_id[rows])
        kept = QuestionTable(questions.question_id[rows], image, [questions.text[q] for q in rows])
        parts.append((kept, take_questions(answers, rows)))
    if len(parts) == 1:
        return parts[0]
    return join_questions([pair[0] for pair in parts]), join_answers([pair[1] for pair in parts])


def join_questions(tables: Sequence[QuestionTable]) -> QuestionTable:
    """Several tables as one."""
    return QuestionTable(
        np.concatenate([table.question_id for table in tables]),
        np.concatenate([table.image_id for table in tables]),
        [text for table in tables for text in table.text],
    )


def join_answers(tables: Sequence[AnswerTable]) -> AnswerTable:
    """Several tables as one; ``person`` tells people apart within a question alone."""
    numbers: dict[str, int] = {}
    text_index = [
        np.array([numbers.setdefault(text, len(numbers)) for text in table.texts], np.int32)[
            table.text_index
        ]
        for table in tables
    ]
    n_answers = [np.diff(table.indptr) for table in tables]
    return AnswerTable(
        np.concatenate([table.question_id for table in tables]),
        np.concatenate([table.image_id for table in tables]),
        np.concatenate([[0], np.cumsum(np.concatenate(n_answers))]),
        np.concatenate(text_index),
        np.concatenate([table.person for table in tables]),
        list(numbers),
    )
