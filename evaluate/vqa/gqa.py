"""GQA's scores, as the eval.py that is handed out with it computes them (Hudson & Manning 2019).

Scored are the balanced questions alone; the others serve consistency. An answer is right if it is
the true one, letter by letter. Grounding, which needs attention maps, is left out.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ...datasets.formats import SourceFile, decode
from ...datasets.ids import Id, canonical
from ...errors import InputError
from ..ids import check_same_ids
from .accuracy import Means, VqaScores, group_labels

RULE_VERSION = "GQA-eval.py-1.2"
# Of questions on what two things have in common, this is what can be answered.
COMMON = ("color", "material", "shape")


class Types(msgspec.Struct):
    """The kinds of a question."""

    structural: str = ""
    semantic: str = ""
    detailed: str = ""


class Groups(msgspec.Struct):
    """The groups of questions with alike answers."""

    global_: str | None = msgspec.field(default=None, name="global")


class Question(msgspec.Struct):
    """A question of a GQA file."""

    image: Id = msgspec.field(name="imageId")
    answer: str
    balanced: bool = msgspec.field(default=True, name="isBalanced")
    types: Types = msgspec.field(default_factory=Types)
    groups: Groups = msgspec.field(default_factory=Groups)
    entailed: list[Id] = []


class Choices(msgspec.Struct):
    """The answers to a question that are of the right kind, and those that the world allows."""

    valid: list[str]
    plausible: list[str]


Questions = dict[Hashable, Question]


def read_questions(file: Path | SourceFile) -> Questions:
    """The questions of a file, by canonical id."""
    return {canonical(key): each for key, each in decode(file, dict[str, Question]).items()}


def find_choices(path: Path) -> dict[Hashable, Choices]:
    """The choices that go with a questions file, beside it or in eval/: those of its split."""
    name = f"{path.name.partition('_')[0]}_choices.json"
    for folder in (path.parent, path.parent / "eval", path.parent.parent / "eval"):
        if (folder / name).is_file():
            entries = decode(folder / name, dict[str, Choices])
            return {canonical(key): each for key, each in entries.items()}
    return {}


def score(
    path: Path, predictions: Mapping[Hashable, str], file: Path, questions: Questions
) -> VqaScores:
    """Score the predictions of a results file.

    All balanced questions need one; that of others is read for consistency, which is given if all
    that is entailed by a right answer has one. Raises ``InputError`` for ids that do not fit.
    """
    balanced = {key: each for key, each in questions.items() if each.balanced}
    if not balanced:
        raise InputError(f"{file}: holds no balanced question, and GQA scores no others.")
    known = {key: said for key, said in predictions.items() if key not in questions} | {
        key: predictions[key] for key in balanced if key in predictions
    }
    check_same_ids("question_id", (path, known), (file, balanced))
    right = {key: predictions[key] == each.answer for key, each in balanced.items()}
    scores = VqaScores(
        question_ids=list(balanced),
        image_ids=[canonical(each.image) for each in balanced.values()],
        question_type=group_labels(each.types.structural for each in balanced.values()),
        answer_type=group_labels(
            "open" if each.types.structural == "query" else "binary" for each in balanced.values()
        ),
        accuracy=np.array(list(right.values()), np.float64),
        rule=RULE_VERSION,
        means=consistency(predictions, questions, right)
        | choice_means(predictions, balanced, find_choices(file)),
        distribution=distribution(predictions, balanced),
    )
    return scores


def consistency(
    predictions: Mapping[Hashable, str], questions: Questions, right: Mapping[Hashable, bool]
) -> dict[str, Means]:
    """The accuracy on what a right answer entails, averaged over the right answers that entail any.

    Nothing if an entailed question is not in the file, or has no prediction.
    """
    rows, values = [], []
    for row, (key, is_right) in enumerate(right.items()):
        entailed = [other for each in questions[key].entailed if (other := canonical(each)) != key]
        if not (is_right and entailed):
            continue
        if not all(other in questions and other in predictions for other in entailed):
            return {}
        hits = [predictions[other] == questions[other].answer for other in entailed]
        rows.append(row)
        values.append(sum(hits) / len(hits))
    return {"consistency": Means(np.array(rows, np.int64), np.array(values))}


def choice_means(
    predictions: Mapping[Hashable, str], balanced: Questions, choices: Mapping[Hashable, Choices]
) -> dict[str, Means]:
    """How many answers are valid and how many plausible; nothing without the choices."""
    if not all(key in choices for key in balanced):
        return {}
    pick: dict[str, Callable[[Choices], list[str]]] = {
        "validity": lambda each: each.valid,
        "plausibility": lambda each: each.plausible,
    }
    rows = np.arange(len(balanced))

    def belongs(key: Hashable, question: Question, group: list[str]) -> bool:
        return predictions[key] in (COMMON if "Common" in question.types.detailed else group)

    return {
        name: Means(
            rows,
            np.array(
                [belongs(key, each, of(choices[key])) for key, each in balanced.items()],
                np.float64,
            ),
        )
        for name, of in pick.items()
    }


def distribution(predictions: Mapping[Hashable, str], balanced: Questions) -> float:
    """The chi-square distance of predicted from true answers in each group, over 100.

    Averaged over the groups by their sizes; only answers that are true of some question of the
    group count. Lower is better.
    """
    true: dict[Any, Counter[str]] = defaultdict(Counter)
    said: dict[Any, Counter[str]] = defaultdict(Counter)
    for key, each in balanced.items():
        if each.groups.global_ is not None:
            true[each.groups.global_][each.answer] += 1
            said[each.groups.global_][predictions[key]] += 1
    total, n = 0.0, 0
    for group, counts in true.items():
        size = sum(counts.values())
        total += size * sum((said[group][a] - e) ** 2 / e for a, e in counts.items())
        n += size
    return total / n / 100 if n else 0.0
