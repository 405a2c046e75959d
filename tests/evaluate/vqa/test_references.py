"""What may be in the files of answers and of annotations, and what is said of the rest."""

import gzip
import json
import subprocess
import sys

import pytest
from frostgrid.errors import InputError
from frostgrid.evaluate.vqa.references import VqaReferences
from reference.vqa_sets import annotation, official_answers, write_set


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


# How the contents of annotations and results are changed, and what is said of it.
MESSAGES = [
    (lambda a, r: r.pop(), r"preds.json: 1 of the 2 in .* have no prediction \(question_id 1\)"),
    (
        lambda a, r: r.append({"question_id": 9, "answer": ""}),
        r"1 of 3 predictions fit none of the 2 in .*annotations.json .question_id 9",
    ),
    (
        lambda a, r: a["annotations"][0].update(question_id="01"),
        r"have no prediction \(question_id \"01\"\) and 1 of 2 predictions fit none",
    ),
    (lambda a, r: r.append(r[0]), r"entry 2: question_id 2 is answered twice"),
    (lambda a, r: r[0].update(answer=3), r'entry 0 \(question_id 2\): "answer" is 3; expected'),
    (lambda a, r: r[0].pop("question_id"), r"entry 0 has no 'question_id'"),
    (lambda a, r: r.insert(0, 5), r"entry 0 is 5; expected an object"),
    (lambda a, r: r[0].update(question_id=[1]), r"entry 0: 'question_id' is \[1\]; expected"),
    (
        lambda a, r: a.pop("annotations"),
        r"annotations.json: holds an object with the keys info, .* VQA annotations",
    ),
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
    contents = [json.loads(path.read_text()) for path in small_set]
    change(*contents)
    for path, content in zip(small_set, contents, strict=True):
        path.write_text(json.dumps(content))
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
