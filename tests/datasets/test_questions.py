import json
from pathlib import Path

import numpy as np
import pytest
from frostgrid.datasets.annotations import align_answers, load_answers
from frostgrid.datasets.catalog import open_dataset
from frostgrid.datasets.questions import load_questions
from frostgrid.errors import InputError


def question(question_id=1, image_id=1, text="what?") -> dict:
    return {"question_id": question_id, "image_id": image_id, "question": text}


def annotation(question_id=1, image_id=1, answers=("yes",), ids=True) -> dict:
    people = [{"answer": a, **({"answer_id": i} if ids else {})} for i, a in enumerate(answers)]
    return {"question_id": question_id, "image_id": image_id, "answers": people}


def folder(tmp_path: Path, questions=(), annotations=()) -> Path:
    (tmp_path / "train_questions.json").write_text(json.dumps({"questions": questions}))
    (tmp_path / "train_annotations.json").write_text(json.dumps({"annotations": annotations}))
    return tmp_path


def aligned(root: Path):
    data = open_dataset(str(root))
    questions, answers = load_questions(data, "train"), load_answers(data, "train")
    return align_answers(
        questions, answers, data.questions_path("train"), data.annotations_path("train")
    )


def test_questions_keep_their_order(tmp_path):
    folder(tmp_path, [question(9, 2, "b?"), question(3, 2**40, "a?")])
    table = load_questions(open_dataset(str(tmp_path)), "train")
    assert table.question_id.tolist() == [9, 3]
    assert table.image_id.tolist() == [2, 2**40]
    assert table.image_id.dtype == np.int64
    assert table.text == ["b?", "a?"]


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([], r"train_questions\.json: holds no question"),
        (
            [question(4), question(5), question(5)],
            r"questions\[2\] has the question_id 5 of questions\[1\]",
        ),
        ([question(2**63)], r"train_questions\.json: "),
        ([{"question_id": 1, "image_id": 1}], r"train_questions\.json: .*questions\[0\]"),
    ],
)
def test_questions_that_do_not_fit(tmp_path, questions, message):
    with pytest.raises(InputError, match=message):
        load_questions(open_dataset(str(folder(tmp_path, questions))), "train")


def test_answers_are_kept_once_and_in_order(tmp_path):
    entries = [annotation(1, answers=("yes", "no", "yes")), annotation(2, answers=())]
    folder(tmp_path, annotations=[*entries, annotation(3, answers=("No",), ids=False)])
    table = load_answers(open_dataset(str(tmp_path)), "train")
    assert [table.answers(q) for q in range(3)] == [["yes", "no", "yes"], [], ["No"]]
    assert table.texts == ["yes", "no", "No"]
    assert table.person.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ([], r"train_annotations\.json: holds no annotation"),
        (
            [annotation(5), annotation(5)],
            r"annotations\[1\] has the question_id 5 of annotations\[0",
        ),
        ([annotation(), {"question_id": 2}], r"train_annotations\.json: annotations\[1\] does not"),
        ([annotation(), 7], r"train_annotations\.json: annotations\[1\] does not fit: Expected"),
    ],
)
def test_annotations_that_do_not_fit(tmp_path, annotations, message):
    folder(tmp_path, [question()], annotations)
    with pytest.raises(InputError, match=message):
        load_answers(open_dataset(str(tmp_path)), "train")


def test_answers_take_the_order_of_the_questions(tmp_path):
    rng = np.random.default_rng(0)
    ids = rng.permutation(50).tolist()
    questions = [question(i, i + 100) for i in ids]
    given = {i: tuple(str(k) for k in range(rng.integers(0, 4))) for i in ids}
    shuffled = [annotation(i, i + 100, given[i]) for i in rng.permutation(ids).tolist()]
    table = aligned(folder(tmp_path, questions, shuffled))
    assert table.question_id.tolist() == ids
    assert [tuple(table.answers(q)) for q in range(50)] == [given[i] for i in ids]
    assert table.person.tolist() == [k for i in ids for k in range(len(given[i]))]


@pytest.mark.parametrize(
    ("questions", "annotations", "message"),
    [
        (
            [question(1), question(2), question(3)],
            [annotation(1)],
            r"questions\[1\] \(question_id 2\) has no annotation in .*annotations\.json \(2 such",
        ),
        (
            [question(1)],
            [annotation(7), annotation(1)],
            r"annotations\[0\] \(question_id 7\) has no question in .*questions\.json \(1 such",
        ),
        (
            [question(1, 5)],
            [annotation(1, 6)],
            r"questions\[0\] \(question_id 1\) is on the image 5, but .* says 6",
        ),
    ],
)
def test_questions_and_annotations_that_do_not_agree(tmp_path, questions, annotations, message):
    with pytest.raises(InputError, match=message):
        aligned(folder(tmp_path, questions, annotations))
