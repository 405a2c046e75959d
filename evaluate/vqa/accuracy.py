"""VQA accuracy as the official evaluation has it (Antol et al. 2015), question by question."""

import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import vizwiz
from .answers import are_unanimous, normalize_answer, strip_answer
from .entries import AnnotationEntries

Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]

RULE_VERSION = "GT-Vision-Lab/VQA-a013f00"
# An answer that this many other people gave is fully right.
ENOUGH = 3


class Groups(NamedTuple):
    """A kind of each question: that of question i is ``names[member[i]]``; member is int32[N].

    There are no names if the annotations do not say the kind.
    """

    names: list[str]
    member: Int32


class Means(NamedTuple):
    """A number of some questions, int64[K] rows and float64[K] values, which is averaged."""

    row: NDArray[np.int64]
    value: Float64

    @property
    def percent(self) -> float:
        """The mean as a percentage, rounded to two decimals; 0 of nothing."""
        return round(100 * float(self.value.mean()), 2) if len(self.value) else 0.0


@dataclass(frozen=True)
class VqaScores:
    """The accuracies of N questions, fractions, in the order of the annotations: float64[N].

    ``question_ids`` and ``image_ids`` hold the N ids as the files have them. ``n_lost`` of the
    questions have no answer that could score: all that people said of them is one and the same.
    ``rule``: whose; ``n_lone`` answers are the only one to their question and stand for ten.
    ``means`` and ``distribution`` are GQA's other scores.
    """

    question_ids: Sequence[Hashable]
    image_ids: Sequence[Hashable]
    question_type: Groups
    answer_type: Groups
    accuracy: Float64
    n_lost: int = 0
    rule: str = RULE_VERSION
    n_lone: int = 0
    means: Mapping[str, Means] = field(default_factory=dict)
    distribution: float | None = None

    @property
    def overall(self) -> float:
        """The mean over questions: a percentage, rounded to two decimals as officially."""
        everything = Groups(["overall"], np.zeros(len(self.accuracy), np.int32))
        return percent_by_group(self.accuracy, everything)["overall"]

    @property
    def per_answer_type(self) -> dict[str, float]:
        """The same for the questions of each answer type."""
        return percent_by_group(self.accuracy, self.answer_type)

    @property
    def per_question_type(self) -> dict[str, float]:
        """The same for the questions of each question type."""
        return percent_by_group(self.accuracy, self.question_type)


def percent_by_group(accuracy: Float64, groups: Groups) -> dict[str, float]:
    """The mean of each group's questions: percentages, rounded to two decimals.

    Added up one after the other as in the official code: another order might round otherwise.
    """
    if not groups.names:
        return {}
    totals = np.bincount(groups.member, accuracy, len(groups.names)).tolist()
    sizes = np.bincount(groups.member, minlength=len(groups.names)).tolist()
    return {
        name: round(100 * total / size, 2)
        for name, total, size in zip(groups.names, totals, sizes, strict=True)
    }


def credit(n_others: NDArray[np.integer[Any]]) -> Float64:
    """The official rule for one person: min(1, n_others / 3), of any shape.

    ``n_others`` is how many of the *other* people gave the predicted answer. The accuracy of a
    prediction is the mean credit over the people who answered the question.
    """
    return np.asarray(np.minimum(n_others, ENOUGH) / ENOUGH, np.float64)


def leave_one_out(matches: NDArray[np.bool_]) -> Float64:
    """The accuracy where each of A people is an other to the rest: bool[A, N] to float64[N].

    Summed person by person, in the order of the official code.
    """
    n_others = matches.sum(axis=0, dtype=np.int16) - matches
    total = np.zeros(matches.shape[1])
    for person in n_others:
        total += credit(person)
    return np.asarray(total / len(matches), np.float64)


def count_agreeing_others(answers: list[dict[str, Any]], prediction: str) -> list[int]:
    """How many others gave the predicted answer, for each person who answered one question.

    The other people of a person are all whose JSON objects differ from that person's: those that
    said the same and have no ``answer_id`` to tell them apart drop out together.
    """
    texts = [strip_answer(answer["answer"]) for answer in answers]
    prediction = strip_answer(prediction)
    if not are_unanimous(texts):
        texts = [normalize_answer(text) for text in texts]
        prediction = normalize_answer(prediction)
    matches = [text == prediction for text in texts]
    agreeing = [answer for answer, match in zip(answers, matches, strict=True) if match]
    if are_numbered(answers):
        return [len(agreeing) - match for match in matches]
    # All who agree have the same text, so that it tells none of them apart.
    return [
        len(agreeing) - (sum(same_but_text(answer, one) for one in agreeing) if match else 0)
        for answer, match in zip(answers, matches, strict=True)
    ]


def same_but_text(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether all that two answers hold beside their texts is equal."""
    return {**first, "answer": ""} == {**second, "answer": ""}


def are_numbered(answers: list[dict[str, Any]]) -> bool:
    """Whether each answer has a whole ``answer_id`` of its own, so that no two are the same."""
    numbers = {
        answer.get("answer_id") for answer in answers if type(answer.get("answer_id")) is int
    }
    return len(numbers) == len(answers)


def score_entries(
    entries: AnnotationEntries, predictions: dict[Hashable, str], rule: str = "vqa"
) -> VqaScores:
    """Score predictions, one for each annotated question, question by question."""
    annotations = list(entries.by_id.values())
    n_others = [
        vizwiz.count_agreeing_others([each["answer"] for each in entry["answers"]], said)
        if rule == "vizwiz"
        else count_agreeing_others(entry["answers"], said)
        for entry, said in zip(
            annotations, map(predictions.__getitem__, entries.by_id), strict=True
        )
    ]
    question_types, answer_types = (
        group_labels(label(entry[key]) for entry in annotations if key in entries.types)
        for key in ("question_type", "answer_type")
    )
    return VqaScores(
        question_ids=list(entries.by_id),
        image_ids=[entry["image_id"] for entry in annotations],
        question_type=question_types,
        answer_type=answer_types,
        accuracy=mean_credit(n_others),
        n_lost=0 if rule == "vizwiz" else sum(are_all_one(e["answers"]) for e in annotations),
        rule=vizwiz.RULE_VERSION if rule == "vizwiz" else RULE_VERSION,
    )


def mean_credit(n_others: Sequence[Sequence[int]]) -> Float64:
    """The accuracy, float64[N], from each person's others who agree, question by question.

    Summed person by person, as in ``leave_one_out``.
    """
    n_answers = np.array([len(people) for people in n_others])
    question = np.repeat(np.arange(len(n_others)), n_answers)
    each = credit(np.array(list(chain.from_iterable(n_others))))
    return np.asarray(np.bincount(question, each, len(n_others)) / n_answers, np.float64)


def are_all_one(answers: list[dict[str, Any]]) -> bool:
    """Whether no answer differs from another as a whole, so that none has "others" to agree."""
    return all(answer == answers[0] for answer in answers)


def group_labels(labels: Iterable[str]) -> Groups:
    """Group questions by label, in the order in which the labels first occur."""
    numbers: dict[str, int] = {}
    member = np.array([numbers.setdefault(name, len(numbers)) for name in labels], np.int32)
    return Groups(list(numbers), member)


def label(kind: Hashable) -> str:
    """The name of a kind that need not be a string, as JSON would write it as a key."""
    return kind if isinstance(kind, str) else json.dumps(kind)
