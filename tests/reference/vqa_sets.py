"""Made-up VQA sets in the official formats, and whether scores are those of the plain version."""

import json
from pathlib import Path

from hypothesis import strategies as st
from reference.vqa_eval import evaluate

TEXTS = st.sampled_from(
    [
        "yes",
        "Yes",
        " yes",
        "yes.",
        "no",
        "two",
        "2",
        "the 2",
        "dont",
        "don't",
        "a",
        "",
        "\n",
        "1,0/b",
    ]
)


def official_answers(texts):
    return [
        {"answer": text, "answer_confidence": "yes", "answer_id": k + 1}
        for k, text in enumerate(texts)
    ]


def annotation(question, answers, image=1, question_type="what", answer_type="other"):
    return {
        "question_type": question_type,
        "multiple_choice_answer": "-",
        "answers": answers,
        "image_id": image,
        "answer_type": answer_type,
        "question_id": question,
    }


def write_set(folder, annotations, predictions, **head):
    folder = Path(folder)
    content = {"info": {"year": 2017}, **head, "annotations": annotations, "data_type": "mscoco"}
    (folder / "annotations.json").write_text(json.dumps(content), "utf-8")
    results = [{"question_id": q, "answer": a} for q, a in predictions.items()]
    (folder / "preds.json").write_text(json.dumps(results), "utf-8")
    return folder / "annotations.json", folder / "preds.json"


@st.composite
def official_sets(draw):
    n_answers = draw(st.integers(1, 12))
    ids = draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8, unique=True))
    kinds = st.sampled_from(["what", "is the", "é"])
    annotations = [
        annotation(
            question,
            official_answers(draw(st.lists(TEXTS, min_size=n_answers, max_size=n_answers))),
            draw(st.integers(0, 3)),
            draw(kinds),
            draw(kinds),
        )
        for question in ids
    ]
    predictions = {question: draw(TEXTS) for question in draw(st.permutations(ids))}
    return annotations, predictions


def assert_equals_reference(annotations_path, results_path, scores):
    overall, by_answer_type, by_question_type, accuracies = evaluate(annotations_path, results_path)
    assert scores.accuracy.tolist() == accuracies
    assert scores.overall == overall
    assert scores.per_answer_type == by_answer_type
    assert scores.per_question_type == by_question_type
    assert list(scores.per_question_type) == list(by_question_type)
