"""Every question's or caption's own scores and texts, as CSV or as JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets.formats import SourceFile
from .evaluation import Evaluation
from .item_texts import ItemTexts, read_predicted, read_texts
from .metrics import EXTRA_METRICS
from .scoring import ScoreOutcome
from .vqa.accuracy import Groups, VqaScores

if TYPE_CHECKING:
    from .captions.scores import CaptionScores


def format_items(outcome: ScoreOutcome, suffix: str) -> str:
    """The items of all evaluations, a line each; of several files each line names its own.

    In JSON lines the truth is an object, text to how many people said so, or of captions a list; in
    CSV it is "red (7); blue (3)", or the captions with bars between them.
    """
    texts = read_texts(outcome.references)
    items = [
        ({"file": str(evaluation.path)} if len(outcome.evaluations) > 1 else {}) | item
        for evaluation, source in zip(outcome.evaluations, outcome.sources, strict=True)
        for item in describe_items(evaluation, source, texts)
    ]
    text = io.StringIO()
    if suffix == ".jsonl":
        text.writelines(json.dumps(item) + "\n" for item in items)
    else:
        writer = csv.DictWriter(text, list(items[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**item, "truth": in_a_cell(item["truth"])} for item in items)
    return text.getvalue()


def describe_items(
    evaluation: Evaluation, source: Path | SourceFile, texts: ItemTexts
) -> Iterator[dict[str, Any]]:
    """The scores of each question or image, and what was asked, predicted and said by people."""
    predicted = read_predicted(source, evaluation.task)
    more = {EXTRA_METRICS[extra.name]: extra.each.tolist() for extra in evaluation.extras}
    for k, item in enumerate(score_items(evaluation.scores)):
        if evaluation.task == "vqa":
            name = item["question_id"]
            asked = {"question": texts.question.get(name), "answer": predicted.get(name)}
            yield item | asked | {"truth": texts.truth.get(name, {})}
        else:
            name = item["image_id"]
            references = [text for text, n in texts.truth.get(name, {}).items() for _ in range(n)]
            extras = {key: values[k] for key, values in more.items()}
            yield item | extras | {"caption": predicted.get(name), "truth": references}


def in_a_cell(truth: dict[str, int] | list[str]) -> str:
    """What people said, in one cell of a table."""
    if isinstance(truth, list):
        return " | ".join(truth)
    return "; ".join(f"{text} ({n})" for text, n in truth.items())


def score_items(scores: VqaScores | CaptionScores) -> Iterator[dict[str, Any]]:
    """The items: accuracies in percent to two decimals, caption scores as fractions."""
    if isinstance(scores, VqaScores):
        kinds = (names_of(scores.question_type), names_of(scores.answer_type))
        accuracies = scores.accuracy.tolist()
        for k, accuracy in enumerate(accuracies):
            yield {
                "question_id": scores.question_ids[k],
                "image_id": scores.image_ids[k],
                "question_type": kinds[0][k] if kinds[0] else None,
                "answer_type": kinds[1][k] if kinds[1] else None,
                "accuracy": round(100 * accuracy, 2),
            }
        return
    bleu = scores.bleu_per_image().tolist()
    for k, image in enumerate(scores.image_id.tolist()):
        orders = {f"bleu_{order + 1}": value for order, value in enumerate(bleu[k])}
        others = {"rouge_l": float(scores.rouge_l[k]), "cider": float(scores.cider[k])}
        yield {"image_id": image, **orders, **others}


def names_of(groups: Groups) -> list[str]:
    """The name of each question's group; nothing if there are no groups."""
    return [groups.names[member] for member in groups.member.tolist()] if groups.names else []
