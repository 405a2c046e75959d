"""Answers as classes and soft targets: what the official accuracy gives each class, by question."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...datasets.annotations import AnswerTable
from ...errors import InputError
from ...evaluate.vqa.accuracy import credit
from ...evaluate.vqa.answers import normalize_answer, strip_answer


@dataclass(frozen=True)
class SoftTargets:
    """For each question the answer classes that score, as rows of a sparse matrix (CSR).

    Question q's entries are ``indptr[q]:indptr[q + 1]`` (``indptr`` int64 [Q+1]), by class:
    ``answer``, int32, is the class; ``score``, float32 in 0 … 1, the official accuracy of answering
    with it (0 where the official rule gives 0 for a single person's answer among identical
    entries); ``count``, float32, how many of the people's answers equal it. ``commonest``, int32
    [Q], is the class of the commonest answer, -1 where that is not in the answer list.
    """

    indptr: NDArray[np.int64]
    answer: NDArray[np.int32]
    score: NDArray[np.float32]
    count: NDArray[np.float32]
    commonest: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.commonest)

    def take(self, rows: NDArray[np.int64]) -> "SoftTargets":
        """Those of the questions in these rows, in this order."""
        counts = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        entry = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], counts)
        return SoftTargets(
            indptr, self.answer[entry], self.score[entry], self.count[entry], self.commonest[rows]
        )


@dataclass(frozen=True)
class ComparedAnswers:
    """The answers of a split in the form in which the official code compares them.

    ``texts`` are distinct forms. The arrays hold one entry for each distinct form of each question,
    question by question: ``question`` int64, ``text`` int32, an index in ``texts``, ``count``
    int32, by how many people, and ``score`` float64, the official accuracy of answering with it.
    ``unanimous``, bool [Q], tells where all people wrote the same, so that nothing is normalised.
    """

    texts: list[str]
    question: NDArray[np.int64]
    text: NDArray[np.int32]
    count: NDArray[np.int32]
    score: NDArray[np.float64]
    unanimous: NDArray[np.bool_]


def compare_answers(answers: AnswerTable) -> ComparedAnswers:
    """Bring a split's answers into the compared form and score each; works on distinct strings."""
    pool: dict[str, int] = {}
    stripped = _indices([strip_answer(text) for text in answers.texts], pool)
    normalized = _indices([normalize_answer(text) for text in answers.texts], pool)
    question = np.repeat(np.arange(len(answers)), np.diff(answers.indptr))
    as_stripped = stripped[answers.text_index]
    unanimous = np.ones(len(answers), np.bool_)
    unanimous[question[as_stripped != as_stripped[answers.indptr[question]]]] = False
    text = np.where(unanimous[question], as_stripped, normalized[answers.text_index])
    key, entry, count = np.unique(
        question * len(pool) + text, return_inverse=True, return_counts=True
    )
    form_question, form = np.divmod(key, max(len(pool), 1))
    return ComparedAnswers(
        texts=list(pool),
        question=form_question,
        text=form.astype(np.int32),
        count=count.astype(np.int32),
        score=official_scores(entry, answers.person, np.diff(answers.indptr)[form_question]),
        unanimous=unanimous,
    )


def _indices(texts: list[str], pool: dict[str, int]) -> NDArray[np.int64]:
    """The index of each text in the pool, which grows by those that it lacks."""
    return np.array([pool.setdefault(text, len(pool)) for text in texts], np.int64)


def official_scores(
    form: NDArray[np.int64], person: NDArray[np.int32], n_answers: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The official accuracy of answering with each form, [F] for F forms.

    ``form`` and ``person``, [n], say of each given answer which form it takes and who gave it;
    ``n_answers``, [F], how many answers the form's question has. The official rule is the mean over
    the question's answers of their ``credit``, where the others of an answer are those that differ
    in text, id or confidence: without answer ids, equal answers all drop out together.
    """
    # The answers of one form that count as one and the same: each sees the matches outside.
    same, size = np.unique(form * (int(person.max(initial=0)) + 1) + person, return_counts=True)
    of_form = same // (int(person.max(initial=0)) + 1)
    matches = np.bincount(of_form, size, len(n_answers))
    seen_by_matching = credit(matches[of_form] - size)
    matching = np.bincount(of_form, size * seen_by_matching, len(n_answers))
    differing = (n_answers - matches) * credit(matches)
    scores: NDArray[np.float64] = (matching + differing) / n_answers
    return scores


def _commonest_forms(compared: ComparedAnswers, rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """The index of each question's commonest answer in ``texts``, [Q]; -1 without any answer.

    Of several equally common ones the one of the lowest ``rank`` ([len(texts)]).
    """
    order = np.lexsort((rank[compared.text], -compared.count, compared.question))
    question, first = np.unique(compared.question[order], return_index=True)
    commonest = np.full(len(compared.unanimous), -1, np.int64)
    commonest[question] = compared.text[order[first]]
    return commonest


def choose_answers(
    compared: ComparedAnswers, n_answers: int | None, min_answer_count: int | None
) -> list[str]:
    """The answer list: class number -> answer, in the compared form, most frequent first.

    Frequency is the number of times that people gave the answer; equal ones stand in alphabetical
    order. ``n_answers`` keeps that many. ``min_answer_count`` keeps what is the commonest answer
    to at least that many questions (bottom-up-attention-vqa's rule, there 9). Both may be given.
    The empty answer, which "a" and "the" become, is never a class.

    Raises ``InputError`` when nothing is left.
    """
    given = np.bincount(compared.text, compared.count, len(compared.texts))
    by_rank = sorted(range(len(given)), key=lambda i: (-given[i], compared.texts[i]))
    kept = [i for i in by_rank if given[i] > 0 and compared.texts[i]]
    if min_answer_count is not None:
        rank = np.empty(len(given), np.int64)
        rank[by_rank] = np.arange(len(given))
        commonest = _commonest_forms(compared, rank)
        times = np.bincount(commonest[commonest >= 0], minlength=len(given))
        kept = [i for i in kept if times[i] >= min_answer_count]
    answers = [compared.texts[i] for i in kept[:n_answers]]
    if not answers:
        raise InputError(
            f"the answer list is empty: {len(compared.unanimous)} questions have {len(by_rank)} "
            f"distinct answers, none of which is kept by n_answers {n_answers} and "
            f"min_answer_count {min_answer_count}; lower the latter or raise the former."
        )
    return answers


def soft_targets(compared: ComparedAnswers, answers: Sequence[str]) -> SoftTargets:
    """What each class of the answer list scores on each question.

    The class is treated as the official code treats a prediction: stripped where all people agree,
    else normalised. So two classes ("Yes", "yes") can match one form.
    """
    index_of = {text: i for i, text in enumerate(compared.texts)}
    as_is = [index_of.get(strip_answer(answer), -1) for answer in answers]
    normalized = [index_of.get(normalize_answer(answer), -1) for answer in answers]
    unanimous = compared.unanimous[compared.question]
    parts = [
        _match(np.flatnonzero(which), compared.text, np.array(classes, np.int64))
        for which, classes in ((unanimous, as_is), (~unanimous, normalized))
    ]
    form, answer = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((answer, compared.question[form]))
    form, answer = form[order], answer[order]
    n_questions = len(compared.unanimous)
    n_entries = np.bincount(compared.question[form], minlength=n_questions)
    return SoftTargets(
        indptr=np.concatenate([[0], np.cumsum(n_entries)]).astype(np.int64),
        answer=answer.astype(np.int32),
        score=compared.score[form].astype(np.float32),
        count=compared.count[form].astype(np.float32),
        commonest=_commonest_classes(compared, answers, index_of),
    )


def _match(
    forms: NDArray[np.int64], text: NDArray[np.int32], index_of_class: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All (form, class) pairs where the form's text is that of the class."""
    order = np.argsort(index_of_class, kind="stable")
    indices = index_of_class[order]
    first = np.searchsorted(indices, text[forms], "left")
    n_classes = np.searchsorted(indices, text[forms], "right") - first
    pair = np.arange(n_classes.sum()) - np.repeat(np.cumsum(n_classes) - n_classes, n_classes)
    return np.repeat(forms, n_classes), order[np.repeat(first, n_classes) + pair]


def _commonest_classes(
    compared: ComparedAnswers, answers: Sequence[str], index_of: dict[str, int]
) -> NDArray[np.int32]:
    """The class of each question's commonest answer, [Q]; ties go to the earliest class."""
    class_of = np.full(len(compared.texts) + 1, -1, np.int64)  # the last entry stands for none
    for number, answer in enumerate(answers):
        if answer in index_of:
            class_of[index_of[answer]] = number
    rank = np.where(class_of < 0, len(answers), class_of)
    return class_of[_commonest_forms(compared, rank)].astype(np.int32)


def best_score(targets: SoftTargets) -> float:
    """The best mean accuracy that the answer list allows, in percent: the coverage."""
    if not len(targets):
        return 0.0
    best = np.zeros(len(targets))
    question = np.repeat(np.arange(len(targets)), np.diff(targets.indptr))
    np.maximum.at(best, question, targets.score)
    return 100 * float(best.mean())
