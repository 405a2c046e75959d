import json
from pathlib import Path

import numpy as np
import pytest
from frostgrid.datasets.annotations import AnswerTable, read_answers
from frostgrid.errors import InputError
from frostgrid.train.data.vqa_targets import (
    SoftTargets,
    best_score,
    choose_answers,
    compare_answers,
    soft_targets,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.soft_targets import plain_accuracy, plain_answer_list, plain_compared

WORDS = ["yes", "Yes", "yes ", "no", "two", "2", "a", "the dog", "dog", "Dog.", "dont", "don't"]
WORDS += ["1,000", "3.5", "b/c", "b c", "", " ", "\n", "yes\tsir", "one-two", "1 2"]

ANSWERS = st.lists(st.sampled_from(WORDS), max_size=20)
UNANIMOUS = st.tuples(st.sampled_from(WORDS), st.integers(1, 20)).map(lambda t: [t[0]] * t[1])
PEOPLE = st.one_of(ANSWERS, UNANIMOUS)


def table_of(people: list[list[dict]], folder: Path) -> AnswerTable:
    path = folder / "train_annotations.json"
    annotations = [
        {"question_id": q, "image_id": 0, "answers": answers} for q, answers in enumerate(people)
    ]
    path.write_text(json.dumps({"annotations": annotations}))
    return read_answers(path)


def with_ids(answers: list[str]) -> list[dict]:
    return [{"answer": answer, "answer_id": i + 1} for i, answer in enumerate(answers)]


def row(targets: SoftTargets, q: int) -> dict[int, tuple[float, float]]:
    entries = slice(targets.indptr[q], targets.indptr[q + 1])
    columns = (targets.answer, targets.score, targets.count)
    answer, score, count = (column[entries].tolist() for column in columns)
    assert answer == sorted(set(answer))
    return {a: (s, c) for a, s, c in zip(answer, score, count, strict=True)}


def assert_equals_plain(people: list[list[dict]], classes: list[str], targets: SoftTargets) -> None:
    for q, given_answers in enumerate(people):
        expected = {}
        for number, answer in enumerate(classes):
            score, count = plain_accuracy(given_answers, answer)
            if count:
                expected[number] = (score, count)
        got = row(targets, q)
        assert got.keys() == expected.keys()
        for number, (score, count) in expected.items():
            assert got[number] == (pytest.approx(score, abs=1e-6), count)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("answers")


@given(st.lists(PEOPLE, min_size=1, max_size=6), st.lists(st.sampled_from(WORDS), unique=True))
@settings(max_examples=250, deadline=None)
def test_equals_the_official_accuracy_of_every_class(folder, questions, classes):
    people = [with_ids(answers) for answers in questions]
    targets = soft_targets(compare_answers(table_of(people, folder)), classes)
    assert_equals_plain(people, classes, targets)


@given(
    st.lists(
        st.lists(
            st.fixed_dictionaries(
                {"answer": st.sampled_from(["yes", "Yes", "no", "a"])},
                optional={
                    "answer_id": st.integers(1, 3),
                    "answer_confidence": st.sampled_from(["yes", "no"]),
                },
            ),
            max_size=10,
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(deadline=None)
def test_people_who_cannot_be_told_apart_drop_out_together(folder, people):
    classes = ["yes", "no", "Yes", "a"]
    targets = soft_targets(compare_answers(table_of(people, folder)), classes)
    assert_equals_plain(people, classes, targets)


def test_golden_scores(folder):
    questions = [
        ["yes"] * 10,
        ["Yes"] * 10,
        ["yes"] * 3 + ["no"] * 7,
        ["Yes"] * 2 + ["no"] * 8,
        ["yes"] + ["no"] * 9,
        ["it"] * 10,
        [],
    ]
    compared = compare_answers(table_of([with_ids(q) for q in questions], folder))
    targets = soft_targets(compared, ["yes", "no"])
    approx = pytest.approx
    assert row(targets, 0) == {0: (1, 10)}
    assert row(targets, 1) == {}  # nothing is normalised where all agree
    assert row(targets, 2) == {0: (approx(0.9), 3), 1: (1, 7)}
    assert row(targets, 3) == {0: (approx(0.6), 2), 1: (1, 8)}
    assert row(targets, 4) == {0: (approx(0.3), 1), 1: (1, 9)}
    assert row(targets, 5) == row(targets, 6) == {}
    assert targets.commonest.tolist() == [0, -1, 1, 1, 1, -1, -1]
    assert best_score(targets) == pytest.approx(100 * 4 / 7)


def test_without_ids_equal_answers_are_one_person(folder):
    people = [[{"answer": "yes"}] * 9 + [{"answer": "no"}]]
    targets = soft_targets(compare_answers(table_of(people, folder)), ["yes", "no"])
    assert row(targets, 0) == {0: (pytest.approx(0.1), 9), 1: (pytest.approx(0.3), 1)}


@given(
    st.lists(PEOPLE, min_size=1, max_size=8),
    st.one_of(st.none(), st.integers(1, 6)),
    st.one_of(st.none(), st.integers(0, 3)),
)
@settings(max_examples=250, deadline=None)
def test_answer_list_equals_plain_counting(folder, questions, n_answers, min_count):
    compared = compare_answers(table_of([with_ids(answers) for answers in questions], folder))
    expected = plain_answer_list(questions, n_answers, min_count)
    if not expected:
        with pytest.raises(InputError, match="the answer list is empty"):
            choose_answers(compared, n_answers, min_count)
        return
    answers = choose_answers(compared, n_answers, min_count)
    assert answers == expected
    commonest = soft_targets(compared, answers).commonest.tolist()
    for q, given_answers in enumerate(questions):
        forms = plain_compared(given_answers)
        most = max((forms.count(form) for form in forms), default=0)
        best = [answers.index(f) for f in set(forms) if f in answers and forms.count(f) == most]
        assert commonest[q] == min(best, default=-1)


def test_dtypes_and_shapes(folder):
    compared = compare_answers(table_of([with_ids(["a b"] * 10)] * 3, folder))
    targets = soft_targets(compared, ["a b", "c"])
    assert len(targets) == 3
    assert targets.indptr.dtype == np.int64
    assert targets.indptr.shape == (4,)
    assert targets.answer.dtype == targets.commonest.dtype == np.int32
    assert targets.score.dtype == targets.count.dtype == np.float32


def test_no_question_at_all_covers_nothing():
    empty = np.zeros(0, np.int64)
    targets = SoftTargets(
        np.zeros(1, np.int64),
        empty.astype(np.int32),
        empty.astype(np.float32),
        empty.astype(np.float32),
        empty.astype(np.int32),
    )
    assert best_score(targets) == 0
