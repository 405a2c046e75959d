"""Damaged and odd VQA files: the official number where the official code has one, or a sentence."""

import gzip
import json

import pytest
from frostgrid.errors import InputError
from frostgrid.evaluate.vqa.references import VqaReferences
from hypothesis import given
from hypothesis import strategies as st
from reference.vqa_eval import evaluate


def question(number, people=("yes", "no", "yes"), **changes):
    answers = [{"answer": answer, "answer_id": k + 1} for k, answer in enumerate(people)]
    types = {"question_type": "is", "answer_type": "other"}
    return {"question_id": number, "image_id": 0, "answers": answers, **types, **changes}


VALID = [json.dumps({"annotations": [question(1), question(2)]}).encode()]
VALID.append(json.dumps([{"question_id": i, "answer": "yes"} for i in (1, 2)]).encode())


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    return folder / "annotations.json", folder / "preds.json"


def write(paths, *texts):
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text)


def score(paths):
    annotations, results = paths
    return VqaReferences(annotations).score(results)


def refusal(paths):
    """The message with which the files are refused, or None if they are scored."""
    try:
        score(paths)
    except InputError as error:
        return str(error)


DAMAGED = [
    (lambda a: a[:-5], "not valid JSON at line 1, column"),
    (lambda a: b"", "not valid JSON at line 1, column 1"),
    (lambda a: a + b"x", "not valid JSON at line 1, column"),
    (lambda a: a.replace(b"yes", b"\xff"), r"byte \d+ is not UTF-8"),
    (lambda a: a.replace(b"yes", b"\xed\xa0\x80"), r"byte \d+ is not UTF-8"),
    (lambda a: a.replace(b"yes", b"\x00"), "not valid JSON at line 1, column"),
    (lambda a: b"PK\x03\x04\x14" + a, "a zip archive; unpack it"),
    (lambda a: a.decode().encode("utf-16"), "UTF-16 text; save the file as UTF-8"),
    (lambda a: a.decode().encode("utf-16-le"), "not valid JSON"),
    (lambda a: gzip.compress(a)[:-9], "a damaged or incomplete gzip file"),
    (lambda a: a.replace(b"1", b"1" * 5000, 1), "holds a number that is too long"),
    (lambda a: a.replace(b'"yes"', b"[" * 99_999, 1), "nested too deeply"),
    (lambda a: a.replace(b'"yes"', b"1e999", 1), '.*"answer'),
    (lambda a: a.replace(b'"yes"', b"NaN", 1), '.*"answer'),
    (lambda a: a.replace(b'"yes"', b"null", 1), '.*"answer'),
    (lambda a: a.replace(b"[", b"{", 1), "not valid JSON"),
]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(("damage", "message"), DAMAGED)
def test_damaged_files_are_refused_by_name(paths, which, damage, message):
    texts = list(VALID)
    texts[which] = damage(texts[which])
    write(paths, *texts)
    with pytest.raises(InputError, match=f"^{paths[which]}: {message}") as refused:
        score(paths)
    assert "\n" not in str(refused.value)


ODD = [
    [question("1"), question(10**30), question(-0.5), question(float("nan")), question(None)],
    [question(1, ["\ud800", "\ud800."]), question(2, ["a.", "A.", "b"])],
    [question(k, ["yes"] * (k % 3) + ["no"] * (k - k % 3)) for k in range(1, 21)],
    [question(1, image_id="x"), question(2, image_id=None, question_type=3, answer_type=None)],
    [question(1, answers=[{"answer": "yes", "answer_id": k % 2} for k in range(6)])],
    [question(1, answers=[{"answer": "yes", "extra": [{}]}, {"answer": "Yes", "extra": [{}]}])],
]


@pytest.mark.parametrize("annotations", ODD)
@pytest.mark.parametrize("said", ["yes", "Yes", "\ud800", "a"])
def test_odd_files_get_the_official_number(paths, annotations, said):
    results = [{"question_id": entry["question_id"], "answer": said} for entry in annotations]
    write(paths, json.dumps({"annotations": annotations}).encode(), json.dumps(results).encode())
    expected = evaluate(*paths)
    scores = score(paths)
    assert scores.overall == expected[0]
    assert scores.accuracy.tolist() == expected[3]
    assert list(scores.per_question_type.values()) == list(expected[2].values())


def test_answers_of_a_million_letters(paths):
    long = "ab, " * 250_000
    annotations = [question(1, [long + "ab.", long.title() + "ab", "b"])]
    results = [{"question_id": 1, "answer": long + "ab"}]
    write(paths, json.dumps({"annotations": annotations}).encode(), json.dumps(results).encode())
    assert score(paths).overall == 44.44  # two thirds for one person, a third for two


def test_the_last_of_two_equal_keys_counts_as_officially(paths):
    text = VALID[1].replace(b'"answer": "yes"', b'"answer": "x", "answer": "no"')
    write(paths, VALID[0], text)
    assert score(paths).overall == evaluate(*paths)[0] > 0
    twice = VALID[0].replace(b'"annotations"', b'"annotations": [], "annotations"')
    write(paths, twice, text)
    assert score(paths).overall == evaluate(*paths)[0]


JUNK = st.one_of(
    st.sampled_from([b"", b'"', b"\\", b"{", b"}", b"]", b"}, {", b"NaN", b"1e9", b"\\ud800"]),
    st.sampled_from([b"null", b"[]", b"\xff", b"\x00", b'"answer_id": 1,', b'"answer": "no",']),
    st.binary(max_size=3),
)


@given(st.integers(0, 1), st.integers(0, 400), st.integers(0, 8), JUNK)
def test_any_change_of_a_file_is_scored_or_refused(paths, which, place, n_dropped, junk):
    texts = list(VALID)
    place %= len(texts[which])
    texts[which] = texts[which][:place] + junk + texts[which][place + n_dropped :]
    write(paths, *texts)
    message = refusal(paths)
    assert message is None or str(paths[0]) in message or str(paths[1]) in message
    try:
        overall = evaluate(*paths)[0]
    except Exception:
        return
    assert message is not None or score(paths).overall == overall


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.sampled_from(["", "yes", "1"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["answer", "answer_id", "question_id"]), inner, max_size=2
        )
    ),
    max_leaves=4,
)
KEYS = ["question_id", "image_id", "question_type", "answer_type", "answers"]


@given(st.sampled_from([*KEYS, "answer", "answer_id"]), VALUES, st.booleans())
def test_any_value_anywhere_is_scored_or_refused(paths, key, value, drop):
    entry = question(1)
    changed = entry if key in KEYS else entry["answers"][1]
    if drop:
        del changed[key]
    else:
        changed[key] = value
    result = {"question_id": entry.get("question_id", 1), "answer": "yes"}
    if key == "answer" and not drop:
        result["answer"] = value
    write(paths, json.dumps({"annotations": [entry]}).encode(), json.dumps([result]).encode())
    message = refusal(paths)
    assert message is None or str(paths[0]) in message or str(paths[1]) in message
    assert message is None or "\n" not in message
