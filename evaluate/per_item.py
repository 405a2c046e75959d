"""Every question's or caption's own scores, as CSV or as JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .evaluation import Evaluation
from .vqa.accuracy import Groups, VqaScores

if TYPE_CHECKING:
    from .captions.scores import CaptionScores


def format_items(evaluations: list[Evaluation], suffix: str) -> str:
    """The items of all evaluations, a line each; of several files each line names its own."""
    items = [
        ({"file": str(evaluation.path)} if len(evaluations) > 1 else {}) | item
        for evaluation in evaluations
        for item in score_items(evaluation.scores)
    ]
    text = io.StringIO()
    if suffix == ".jsonl":
        text.writelines(json.dumps(item) + "\n" for item in items)
    else:
        writer = csv.DictWriter(text, list(items[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(items)
    return text.getvalue()


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
