from tempfile import TemporaryDirectory

import numpy as np
import pytest
from frostgrid.evaluate.vqa.accuracy import count_agreeing_others, leave_one_out, mean_credit
from frostgrid.evaluate.vqa.references import VqaReferences
from hypothesis import given
from hypothesis import strategies as st
from reference.vqa_eval import question_accuracy
from reference.vqa_sets import (
    TEXTS,
    assert_equals_reference,
    official_answers,
    official_sets,
    write_set,
)


def score_question(answers, prediction):
    return mean_credit([count_agreeing_others(answers, prediction)])[0]


@given(official_sets())
def test_columns_and_entries_equal_the_plain_version(drawn):
    with TemporaryDirectory() as folder:
        paths = write_set(folder, *drawn)
        references = VqaReferences(paths[0])
        by_columns = references._score_columns(paths[1], paths[1].read_bytes())
        assert_equals_reference(*paths, by_columns)
        by_entries = references._score_entries(paths[1], paths[1].read_bytes())
        assert_equals_reference(*paths, by_entries)
        assert list(by_columns.question_ids) == list(by_entries.question_ids)
        assert list(by_columns.image_ids) == list(by_entries.image_ids)


ANSWER_IDS = st.sampled_from([None, 1, 2, 1.0, True, "1", [1], {"a": 1}])


@given(st.data())
def test_odd_questions_equal_the_plain_version(data):
    answers = []
    for text in data.draw(st.lists(TEXTS, min_size=1, max_size=20)):
        answer = {"answer": text}
        if data.draw(st.booleans()):
            answer["answer_id"] = data.draw(ANSWER_IDS)
        answers.append(answer)
    prediction = data.draw(TEXTS)
    assert score_question(answers, prediction) == question_accuracy(answers, prediction)


@given(st.integers(1, 20), st.integers(1, 5), st.randoms(use_true_random=False))
def test_leave_one_out_equals_the_sum_over_people(n_people, n_questions, random):
    matches = np.array([[random.random() < 0.4] * n_people for _ in range(n_questions)])
    matches ^= np.array([[random.random() < 0.4 for _ in range(n_people)] for _ in matches])
    for row, accuracy in zip(matches, leave_one_out(matches.T), strict=True):
        answers = official_answers(["x" if match else f"no{k}" for k, match in enumerate(row)])
        if not row.all():
            assert accuracy == question_accuracy(answers, "x")


# Accuracy in percent of "yes" against ten people, as the official code has it.
@pytest.mark.parametrize(
    ("n_yes", "expected"), [(0, 0.0), (1, 30.0), (2, 60.0), (3, 90.0), (4, 100.0), (10, 100.0)]
)
def test_the_accuracy_by_number_of_people_who_agree(n_yes, expected):
    answers = official_answers(["yes"] * n_yes + ["no"] * (10 - n_yes))
    assert round(100 * score_question(answers, "yes"), 2) == expected


def test_unanimous_answers_are_not_normalized():
    assert score_question(official_answers(["Yes"] * 10), "yes") == 0
    assert score_question(official_answers(["Yes"] * 10), " Yes\n") == 1
    assert score_question(official_answers(["Yes"] * 9 + ["no"]), "yes.") == 1


def test_people_without_a_number_who_said_the_same_drop_out_together():
    assert score_question([{"answer": "yes"}] * 9 + [{"answer": "no"}], "yes") == pytest.approx(0.1)
    one_answer = official_answers(["yes"])
    assert score_question(one_answer, "yes") == 0
