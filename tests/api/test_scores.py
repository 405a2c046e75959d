"""Lists and dicts score exactly as files of them do."""

import json
import tempfile
from pathlib import Path

import frostgrid
import numpy as np
import pytest
from frostgrid.errors import InputError
from frostgrid.evaluate.evaluation import evaluate
from frostgrid.evaluate.reference_files import CaptionReferences
from frostgrid.evaluate.score_objects import evaluation_object
from frostgrid.evaluate.vqa.references import VqaReferences
from hypothesis import given
from hypothesis import strategies as st
from reference.vqa_sets import annotation, official_answers, official_sets, write_set


@given(official_sets())
def test_answers_score_as_files_do(drawn):
    annotations, predictions = drawn
    with tempfile.TemporaryDirectory() as folder:
        paths = write_set(folder, annotations, predictions)
        (expected,) = evaluate([paths[1]], VqaReferences(paths[0]))
        expected = evaluation_object(expected)
    entries = [{"question_id": q, "answer": a} for q, a in predictions.items()]
    plain = {a["question_id"]: [each["answer"] for each in a["answers"]] for a in annotations}
    assert frostgrid.score_vqa(predictions, {"annotations": annotations}) == expected
    assert frostgrid.score_vqa(entries, annotations) == expected
    assert frostgrid.score_vqa(entries, plain) == expected | {
        "per_answer_type": {},
        "per_question_type": {},
    }


TEXTS = st.sampled_from(["a dog runs.", "A dog", "the dog runs fast", "two cats", "", "a, b"])


@given(st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)), min_size=1, max_size=6))
def test_captions_score_as_files_do(images):
    predictions = {10 - i: caption for i, (caption, _) in enumerate(images)}
    references = {10 - i: captions for i, (_, captions) in enumerate(images)}
    annotations = [
        {"image_id": i, "caption": text} for i, texts in references.items() for text in texts
    ]
    official = {"images": [{"id": i} for i in reversed(references)], "annotations": annotations}
    entries = [{"image_id": i, "caption": text} for i, text in predictions.items()]
    with tempfile.TemporaryDirectory() as folder:
        results, captions = Path(folder) / "preds.json", Path(folder) / "captions.json"
        results.write_text(json.dumps(entries))
        captions.write_text(json.dumps(official))
        (expected,) = evaluate([results], CaptionReferences(captions, "val", captions))
        captions.write_text(json.dumps({"annotations": annotations}))
        (unlisted,) = evaluate([results], CaptionReferences(captions, "val", captions))
    assert frostgrid.score_captions(entries, official) == evaluation_object(expected)
    assert frostgrid.score_captions(predictions, annotations) == evaluation_object(unlisted)
    assert frostgrid.score_captions(predictions, references) == evaluation_object(unlisted)
    named = ({f"{i}.jpg": v for i, v in each.items()} for each in (predictions, references))
    assert frostgrid.score_captions(*named) == evaluation_object(unlisted)


def test_numbers_of_numpy_and_ids_as_strings_are_taken():
    ten = ["yes"] * 10
    expected = frostgrid.score_vqa({1: "yes", 2: "no"}, {1: ten, 2: ten})
    assert expected["overall"] == 50
    answers = {np.int64(1): np.array(ten), np.int64(2): tuple(ten)}
    assert frostgrid.score_vqa({"1": np.str_("yes"), 2.0: "no"}, answers) == expected
    unequal = {1: ["yes", "yes", "no"], 2: ["a"] * 4}  # that no column holds
    assert frostgrid.score_vqa({1: "no", 2: "a"}, unequal)["overall"] == 61.11
    captions = {np.int64(3): ["a dog runs", "a dog"], 4: ["two cats"]}
    assert (
        frostgrid.score_captions({"3": "a dog", np.int32(4): "cats"}, captions)["cider"]
        == frostgrid.score_captions({3: "a dog", 4: "cats"}, captions)["cider"]
    )


TEN = {1: ["a"] * 10, 2: ["b"] * 10}
MESSAGES = [
    ({1: "a"}, TEN, r"1 of the 2 in references have no prediction \(.*_id 2\)"),
    ({1: "a", 2: "a", 3: "a"}, TEN, r"1 of 3 predictions fit none of the 2 in references"),
    ({1: "a", 2: 3}, TEN, "predictions: entry 1.* is 3; expected a string"),
    ([3], TEN, "predictions: entry 0 is 3; expected an object"),
    ("preds.json", TEN, 'predictions: "preds.json"; expected {id: text} or a list'),
    ({1: "a"}, "refs.json", r'references: "refs.json"; expected {id: \[text, ...\]}'),
    ({1: "a"}, {1: "a"}, 'references: 1 has "a"; expected a list of strings'),
    ({1: "a"}, {1: []}, r"references: 1 has \[\]; expected a list"),
    ({1: "a"}, {1: ["a", 2]}, r'references: 1 has \["a", 2\]; expected a list of strings'),
    ({1: "a"}, {}, "references: an empty dict"),
    ({1: "a"}, {1: {"a"} | {object}}, "expected numbers, strings, lists and dicts, not type"),
]


@pytest.mark.parametrize("score", [frostgrid.score_vqa, frostgrid.score_captions])
@pytest.mark.parametrize(("predictions", "references", "message"), MESSAGES)
def test_what_does_not_fit_is_said(score, predictions, references, message):
    with pytest.raises(InputError, match=message):
        score(predictions, references)


def test_two_texts_for_one_item_are_refused():
    for score, keys in (
        (frostgrid.score_vqa, ("question_id", "answer")),
        (frostgrid.score_captions, ("image_id", "caption")),
    ):
        twice = [dict(zip(keys, (1, text), strict=True)) for text in "ab"]
        with pytest.raises(InputError, match=r"entry 1: .*1 is (answered|captioned) twice"):
            score(twice, {1: ["a"] * 10})


def test_the_types_of_official_annotations_are_kept():
    annotations = [
        annotation(1, official_answers(["yes"] * 10), question_type="is", answer_type="yes/no"),
        annotation(2, official_answers(["two"] * 10), question_type="how", answer_type="number"),
    ]
    found = frostgrid.score_vqa({1: "yes", 2: "three"}, annotations)
    assert found["per_answer_type"] == {"yes/no": 100.0, "number": 0.0}
    assert found["per_question_type"] == {"is": 100.0, "how": 0.0}
