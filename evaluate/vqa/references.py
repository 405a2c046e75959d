"""VQA references, read once, against which any number of results files are scored.

NumPy is imported while the annotations are being hashed.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...datasets.formats import SourceFile, read_bytes
from ...datasets.layouts.official import OfficialFile
from ..ids import check_same_ids
from .cache import has_kept_table, read_table
from .columns import decode_results
from .entries import (
    AnnotationEntries,
    number_ids,
    read_annotations,
    read_predictions,
    read_question_ids,
)
from .file_copy import FileCopy
from .json_pieces import IrregularFile

if TYPE_CHECKING:
    from .accuracy import VqaScores
    from .annotation_table import AnnotationTable
    from .gqa import Questions


class VqaReferences:
    """The annotations, and optionally the questions, of a VQA set.

    Files in the official layout are read in columns; all others, entry by entry. The questions hold
    nothing that the score needs: they are only checked to be the annotated ones. With
    ``only_predicted``, questions without a prediction do not count. ``asked`` is another file of
    questions, unchecked, for who wants their texts.

    Answers are scored by the file's ``rule``; ``n_lone`` of them stand for ten people each.
    """

    def __init__(
        self,
        annotations: OfficialFile | Path | SourceFile,
        questions: Path | None = None,
        only_predicted: bool = False,
        asked: Path | None = None,
    ) -> None:
        known = annotations if isinstance(annotations, OfficialFile) else None
        source = annotations.path if isinstance(annotations, OfficialFile) else annotations
        self.rule, self.n_lone = (known.rule, known.n_lone) if known else ("vqa", 0)
        self.questions = questions
        self.only_predicted = only_predicted
        self.asked = asked
        self.source = source  # in the official layout, which ``annotations`` need not be
        self._copy = FileCopy(source, has_kept_table, known.origin if known else None)
        self.annotations = self._copy.name
        self._table: AnnotationTable | None = None
        self._is_irregular = self.rule != "vqa"  # columns hold answers in the forms of that rule

    def score(self, results: Path | SourceFile) -> VqaScores:
        """Score one results file. Raises ``InputError`` for what the official code breaks on."""
        if isinstance(results, SourceFile):
            path, text = results.path, results.data
        else:
            path, text = results, read_bytes(results)
        try:
            return self._score_columns(path, text)
        except IrregularFile:
            return self._score_entries(path, text)

    def _score_columns(self, results: Path, text: bytes) -> VqaScores:
        if self._is_irregular:
            raise IrregularFile
        decoded = decode_results(text)
        if self._table is None:
            self._is_irregular = True  # until read_table returns
            table = read_table(self._copy)
            self._is_irregular = False
            self._check_questions(table.question_id.tolist())
            self._table = table
        scores = self._table.score(results, decoded, self.only_predicted)
        return replace(scores, n_lone=self.n_lone)

    def _score_entries(self, results: Path, text: bytes) -> VqaScores:
        predictions = read_predictions(results, text)
        if self.rule == "gqa":
            from . import gqa

            numbered, questions = number_ids(results, predictions), self._gqa_questions
            if self.only_predicted:
                questions = {key: each for key, each in questions.items() if key in numbered}
            return gqa.score(results, numbered, self.annotations, questions)
        entries = self._entries
        predictions = number_ids(results, predictions)
        if self.only_predicted:
            entries = entries.only(predictions)
        check_same_ids("question_id", (results, predictions), (self.annotations, entries.by_id))
        from .accuracy import score_entries

        scores = score_entries(entries, predictions, self.rule)
        return replace(scores, n_lone=self.n_lone)

    @cached_property
    def _gqa_questions(self) -> Questions:
        from . import gqa

        return gqa.read_questions(self.annotations)

    @property
    def n(self) -> int:
        """How many questions are annotated, once a file was scored."""
        if self.rule == "gqa":
            return sum(question.balanced for question in self._gqa_questions.values())
        return len(self._entries.by_id if self._table is None else self._table.question_id)

    @cached_property
    def _entries(self) -> AnnotationEntries:
        entries = read_annotations(self.annotations, self._copy.text()[:])
        self._check_questions(entries.by_id)
        return entries

    def _check_questions(self, annotated: Collection[Hashable]) -> None:
        if self.questions is None:
            return
        questions = read_question_ids(self.questions)
        asked = (self.questions, questions)
        check_same_ids("question_id", asked, (self.annotations, annotated), "question")
