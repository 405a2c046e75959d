import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from frostgrid.errors import InputError
from frostgrid.evaluate import vqa_cache, vqa_columns
from frostgrid.evaluate.json_pieces import IrregularFile
from frostgrid.evaluate.vqa_accuracy import leave_one_out, score_question
from frostgrid.evaluate.vqa_columns import AnnotationReader
from frostgrid.evaluate.vqa_references import VqaReferences
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.vqa_eval import evaluate, question_accuracy

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


@given(official_sets())
def test_columns_and_entries_equal_the_plain_version(drawn):
    with TemporaryDirectory() as folder:
        paths = write_set(folder, *drawn)
        references = VqaReferences(paths[0])
        by_columns = references._score_columns(paths[1])
        assert_equals_reference(*paths, by_columns)
        by_entries = references._score_entries(paths[1])
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


@pytest.fixture
def small_set(tmp_path):
    annotations = [
        annotation(1, official_answers(["yes"] * 10), 7),
        annotation(2, official_answers(["two"] * 5 + ["3"] * 5), 7, "how many", "number"),
    ]
    return write_set(tmp_path, annotations, {2: "2", 1: "no"})


def test_gzip_and_byte_order_mark_are_read(small_set):
    annotations, results = small_set
    expected = VqaReferences(annotations).score(results).accuracy.tolist()
    for path in small_set:
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert VqaReferences(annotations).score(results).accuracy.tolist() == expected
    for path in small_set:
        path.write_bytes(b"\xef\xbb\xbf" + gzip.decompress(path.read_bytes()))
    assert VqaReferences(annotations).score(results).accuracy.tolist() == expected == [0.0, 1.0]


def test_string_ids_get_their_number(tmp_path):
    answers = official_answers(["yes"] * 5 + ["no"] * 5)
    paths = write_set(tmp_path, [annotation("a", answers), annotation(1.5, answers)], {})
    results = [{"question_id": "a", "answer": "yes"}, {"question_id": 1.5, "answer": "x"}]
    paths[1].write_text(json.dumps(results))
    assert VqaReferences(paths[0]).score(paths[1]).accuracy.tolist() == [1.0, 0.0]


def test_sets_without_types_have_no_groups(tmp_path):
    entry = annotation(1, official_answers(["yes", "no"]))
    del entry["question_type"], entry["answer_type"]
    scores = VqaReferences(*write_set(tmp_path, [entry], {1: "no"})[:1]).score(
        tmp_path / "preds.json"
    )
    assert (scores.per_answer_type, scores.per_question_type) == ({}, {})


def damaged(change):
    """The small set's files after ``change`` of their contents, annotations and results."""

    def apply(paths):
        contents = [json.loads(path.read_text()) for path in paths]
        change(*contents)
        for path, content in zip(paths, contents, strict=True):
            path.write_text(json.dumps(content))

    return apply


MESSAGES = [
    (lambda a, r: r.pop(), r"preds.json: 1 of the 2 in .* have no prediction \(question_id 1\)"),
    (
        lambda a, r: r.append({"question_id": 9, "answer": ""}),
        r"1 of 3 predictions fit none of the 2 in .*annotations.json .question_id 9",
    ),
    (lambda a, r: r[0].update(question_id="2"), "a number here and a string there"),
    (lambda a, r: r.append(r[0]), r"entry 2: question_id 2 is answered twice"),
    (lambda a, r: r[0].update(answer=3), r'entry 0 \(question_id 2\): "answer" is 3; expected'),
    (lambda a, r: r[0].pop("question_id"), r"entry 0 has no 'question_id'"),
    (lambda a, r: r.insert(0, 5), r"entry 0 is 5; expected an object"),
    (lambda a, r: r[0].update(question_id=[1]), r"entry 0: 'question_id' is \[1\]; expected"),
    (lambda a, r: a.pop("annotations"), r"annotations.json: not a VQA annotations file"),
    (lambda a, r: a["annotations"].clear(), r"holds no annotation"),
    (
        lambda a, r: a["annotations"].append(a["annotations"][0]),
        r"annotations.json: annotations\[2\]: question_id 1 occurs twice",
    ),
    (lambda a, r: a["annotations"][1].update(answers=[]), r"annotations\[1\] \(question_id 2\)"),
    (
        lambda a, r: a["annotations"][1]["answers"][3].pop("answer"),
        r"annotations\[1\] \(question_id 2\): answers\[3\] is",
    ),
    (lambda a, r: a["annotations"][1].pop("image_id"), r"annotations\[1\] has no 'image_id'"),
    (lambda a, r: a["annotations"][1].pop("answer_type"), r"annotations\[1\] has no 'answer_type'"),
]


@pytest.mark.parametrize(("change", "message"), MESSAGES)
def test_what_does_not_fit_is_named(small_set, change, message):
    damaged(change)(small_set)
    annotations, results = small_set
    with pytest.raises(InputError, match=message):
        VqaReferences(annotations).score(results)


def test_questions_must_be_the_annotated_ones(small_set, tmp_path):
    annotations, results = small_set
    questions = tmp_path / "questions.json"
    for ids, message in (
        ([1, 2], None),
        ([1, 2, 3], "1 of 3 questions fit none of the 2 in"),
        ([1], r"1 of the 2 in .* have no question \(question_id 2\); give exactly one question"),
        ([1, 2, 2], r"questions\[2\]: question_id 2 occurs twice"),
    ):
        questions.write_text(json.dumps({"questions": [{"question_id": i} for i in ids]}))
        if message is None:
            assert VqaReferences(annotations, questions).score(results).overall == 50
        else:
            with pytest.raises(InputError, match=message):
                VqaReferences(annotations, questions).score(results)


def test_several_results_are_scored_against_one_reading(small_set, tmp_path):
    annotations, results = small_set
    other = tmp_path / "other.json"
    other.write_text(
        '[{"question_id": 1, "answer": "yes", "score": NaN}, {"question_id": 2, "answer": "3"}]'
    )
    references = VqaReferences(annotations)
    assert references.score(results).overall == 50
    assert references.score(other).overall == 100  # NaN: by the plain decoder
    assert references.score(results).overall == 50


@settings(max_examples=10, deadline=None)
@given(official_sets(), st.sampled_from([None, 2]), st.booleans())
def test_a_second_process_and_small_pieces_change_nothing(drawn, indent, ascii_only):
    annotations, _ = drawn
    extra = [
        {**entry, "question_id": 1000 * i + k}
        for k, entry in enumerate(annotations)
        for i in range(40)
    ]
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        paths = write_set(folder, extra, dict.fromkeys((e["question_id"] for e in extra), "yes"))
        for path in paths:
            content = json.loads(path.read_text())
            path.write_text(json.dumps(content, indent=indent, ensure_ascii=ascii_only), "utf-8")
        patch.setattr(vqa_columns, "SHARED_BYTES", 1)
        patch.setattr("frostgrid.evaluate.json_pieces.PIECE_BYTES", 500)
        patch.setattr("os.cpu_count", lambda: 2)
        reader = AnnotationReader(paths[0])
        assert reader.process is not None
        reader.close()
        assert_equals_reference(*paths, VqaReferences(paths[0])._score_columns(paths[1]))


def test_a_broken_part_of_the_second_process_is_left_to_the_plain_decoder(small_set, monkeypatch):
    annotations, results = small_set
    content = json.loads(annotations.read_text())
    entry = content["annotations"][1]
    content["annotations"] += [{**entry, "question_id": 100 + k} for k in range(99)]
    content["annotations"][80]["answers"][0]["answer_id"] = 77
    annotations.write_text(json.dumps(content))
    results.write_text(
        json.dumps(
            [{"question_id": e["question_id"], "answer": "3"} for e in content["annotations"]]
        )
    )
    monkeypatch.setattr(vqa_columns, "SHARED_BYTES", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with pytest.raises(IrregularFile):
        AnnotationReader(annotations).read()
    assert_equals_reference(annotations, results, VqaReferences(annotations).score(results))


@pytest.fixture
def kept_set(small_set, tmp_path, monkeypatch):
    monkeypatch.setattr(vqa_cache, "KEPT_BYTES", 1)
    monkeypatch.setenv("FROSTGRID_CACHE", str(tmp_path / "cache"))
    return small_set


def test_the_kept_table_gives_the_same_scores(kept_set, tmp_path, monkeypatch):
    annotations, results = kept_set
    first = VqaReferences(annotations).score(results)
    (kept,) = (tmp_path / "cache").iterdir()
    monkeypatch.setattr(vqa_cache, "AnnotationReader", None)  # must not be needed again
    again = VqaReferences(annotations).score(results)
    assert_equals_reference(annotations, results, first)
    assert_equals_reference(annotations, results, again)
    assert (first.question_ids, first.image_ids) == (again.question_ids, again.image_ids)
    assert kept.name.startswith("vqa-references-")


def test_a_changed_file_is_read_anew(kept_set, tmp_path):
    annotations, results = kept_set
    assert VqaReferences(annotations).score(results).overall == 50
    annotations.write_text(annotations.read_text().replace("yes", "no"))
    assert VqaReferences(annotations).score(results).overall == 100
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_damaged_kept_table_is_made_anew(kept_set, tmp_path):
    annotations, results = kept_set
    assert VqaReferences(annotations).score(results).overall == 50
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes()[:-40])
    assert VqaReferences(annotations).score(results).overall == 50


def test_long_files_that_are_irregular_are_not_kept(kept_set, tmp_path):
    annotations, results = kept_set
    annotations.write_text(annotations.read_text().replace('"answer_id": 3', '"answer_id": 33'))
    references = VqaReferences(annotations)
    assert [references.score(results).overall for _ in range(2)] == [50, 50]
    assert not list((tmp_path / "cache").glob("*"))


def test_scoring_imports_neither_torch_nor_numba(small_set):
    annotations, results = small_set
    code = (
        "import sys; from frostgrid.evaluate.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'numba', 'nltk'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", code, str(results), "--annotations", str(annotations)]
    subprocess.run(command, check=True, capture_output=True)


def test_a_second_process_that_cannot_run_is_done_without(small_set, monkeypatch):
    annotations, results = small_set
    content = json.loads(annotations.read_text())
    entry = content["annotations"][1]
    content["annotations"] += [{**entry, "question_id": 100 + k} for k in range(9)]
    annotations.write_text(json.dumps(content))
    ids = [entry["question_id"] for entry in content["annotations"]]
    results.write_text(json.dumps([{"question_id": number, "answer": "3"} for number in ids]))
    monkeypatch.setattr(vqa_columns, "SHARED_BYTES", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    for command in (shutil.which("false"), "/nowhere/python"):
        monkeypatch.setattr(sys, "executable", command)
        scores = VqaReferences(annotations)._score_columns(results)
        assert_equals_reference(annotations, results, scores)
