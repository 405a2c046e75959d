"""On which questions or images runs disagree, and examples of them for people to look at."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.annotations import load_answers
from ..datasets.captions import load_captions
from ..datasets.catalog import open_dataset
from ..datasets.formats import VqaResult, decode
from ..datasets.ids import canonical, number_of
from ..datasets.questions import load_questions
from ..evaluate.captions.results import read_caption_results
from ..evaluate.captions.scores import CaptionScores
from ..evaluate.evaluation import Evaluation
from ..evaluate.vqa.accuracy import VqaScores

RIGHT = 0.5  # the least accuracy of an answer that counts as right


@dataclass(frozen=True)
class RunOutput:
    """One run's answer or caption, and its score: the official accuracy, or CIDEr."""

    text: str
    score: float


@dataclass(frozen=True)
class Example:
    """One question, or one image to be described, with the output of each run.

    ``question`` is empty for captions. ``truth``: the annotators' answers, the most frequent first,
    each with its count, or their captions, each with 1.
    """

    image_id: int
    question: str
    truth: list[tuple[str, int]]
    outputs: list[RunOutput]


@dataclass(frozen=True)
class Disagreement:
    """How R runs differ on N items.

    ``n_agreed``: items with the same output of all runs; ``better``: int [R, R], items on which the
    row's run scored higher than the column's; ``examples``: some of the items on which they differ.
    """

    n_items: int
    n_agreed: int
    better: NDArray[np.int64]
    examples: list[Example]


def compare_answers(
    evaluations: Sequence[Evaluation], data: str, split: str, n: int
) -> Disagreement:
    """Where the answers of runs to the same questions differ, with up to ``n`` questions."""
    scores = [e.scores for e in evaluations if isinstance(e.scores, VqaScores)]
    ids = list(scores[0].question_ids)
    outputs = [read_answers(e, ids) for e in evaluations]
    accuracy = np.stack([each.accuracy for each in scores])
    differ = np.array([len({answers[q] for answers in outputs}) > 1 for q in range(len(ids))])
    image_ids: list[Any] = list(scores[0].image_ids)
    shown = differ if len(evaluations) > 1 else np.ones(len(ids), np.bool_)
    chosen = choose_items(accuracy, accuracy >= RIGHT, shown, image_ids, n)
    texts, truths = read_questions(data, split, {ids[q] for q in chosen})
    examples = [
        Example(
            number_of(image_ids[q]),
            texts[ids[q]],
            truths[ids[q]],
            [RunOutput(s[q], float(a[q])) for s, a in zip(outputs, accuracy, strict=True)],
        )
        for q in chosen
    ]
    return Disagreement(len(ids), int((~differ).sum()), count_better(accuracy), examples)


def read_answers(evaluation: Evaluation, ids: list[Any]) -> list[str]:
    """A run's answers in the order of the questions."""
    results = decode(evaluation.path, list[VqaResult])
    by_id = {canonical(entry.question_id): entry.answer for entry in results}
    return [by_id[question] for question in ids]


def read_questions(
    data: str, split: str, questions: set[Any]
) -> tuple[dict[Any, str], dict[Any, list[tuple[str, int]]]]:
    """The texts of some questions, and their answers with how many annotators gave each."""
    dataset = open_dataset(data)
    table, answers = load_questions(dataset, split), load_answers(dataset, split)
    known = {number_of(question): question for question in questions}
    texts = {
        known[number]: text
        for number, text in zip(table.question_id.tolist(), table.text, strict=True)
        if number in known
    }
    truths = {
        known[number]: Counter(answers.answers(row)).most_common()
        for row, number in enumerate(answers.question_id.tolist())
        if number in known
    }
    return texts, truths


def compare_captions(
    evaluations: Sequence[Evaluation], data: str, split: str, n: int
) -> Disagreement:
    """Where the captions of runs differ in CIDEr, with up to ``n`` images."""
    scores = [e.scores for e in evaluations if isinstance(e.scores, CaptionScores)]
    image_ids = scores[0].image_id.tolist()
    by_run = [read_caption_results(e.path) for e in evaluations]
    outputs = [[captions[image] for image in image_ids] for captions in by_run]
    cider = np.stack([each.cider for each in scores])
    differ = np.array([len({s[i] for s in outputs}) > 1 for i in range(len(image_ids))])
    best = cider == cider.max(axis=0)
    shown = differ if len(evaluations) > 1 else np.ones(len(image_ids), np.bool_)
    references = load_captions(open_dataset(data), split).by_image()
    examples = [
        Example(
            number_of(image_ids[i]),
            "",
            [(caption, 1) for caption in references[number_of(image_ids[i])]],
            [RunOutput(s[i], float(c[i])) for s, c in zip(outputs, cider, strict=True)],
        )
        for i in choose_items(cider, best, shown, image_ids, n)
    ]
    return Disagreement(len(image_ids), int((~differ).sum()), count_better(cider), examples)


def count_better(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """From scores [R, N]: on how many items the row's run is above the column's, [R, R]."""
    return np.array([[int((a > b).sum()) for b in scores] for a in scores], np.int64)


def choose_items(
    scores: NDArray[np.float64],
    won: NDArray[np.bool_],
    differ: NDArray[np.bool_],
    image_ids: Sequence[Any],
    n: int,
) -> list[int]:
    """Up to ``n`` items that show how runs differ: one an image, all kinds of outcome in turn.

    ``scores`` [R, N]; ``won`` [R, N]: which runs do well on an item; ``differ`` [N]: which may be
    chosen. Items on which the same runs do well are of one kind. The kinds take turns, each with
    the item whose scores are furthest apart; the order is deterministic.
    """
    candidates = np.flatnonzero(differ)
    if not len(candidates):
        return []
    spread = np.ptp(scores[:, candidates], axis=0)
    ties = np.random.default_rng(0).permutation(len(candidates))
    order = candidates[np.lexsort((ties, -spread))]
    _, kind = np.unique(won[:, order], axis=1, return_inverse=True)
    queues = [order[kind == k].tolist()[::-1] for k in range(int(kind.max()) + 1)]
    queues.sort(key=lambda queue: -float(np.ptp(scores[:, queue[-1]])))
    chosen: list[int] = []
    seen: set[Any] = set()
    while queues and len(chosen) < n:
        queue = queues.pop(0)
        while queue and image_ids[queue[-1]] in seen:
            queue.pop()
        if not queue:
            continue
        item = queue.pop()
        chosen.append(item)
        seen.add(image_ids[item])
        queues.append(queue)
    return chosen
