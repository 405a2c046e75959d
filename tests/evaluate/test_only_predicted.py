"""Scores of a part of the references: the official metrics on that part, and said to be so."""

import json

import pytest
from click.testing import CliRunner
from frostgrid.errors import InputError
from frostgrid.evaluate.cli import score
from frostgrid.evaluate.reference_files import record_source
from frostgrid.evaluate.vqa.references import VqaReferences
from hypothesis import given
from hypothesis import strategies as st
from reference.vqa_eval import evaluate
from reference.vqa_sets import annotation, official_answers, official_sets, write_set


def run(*arguments, code=0):
    result = CliRunner().invoke(score, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def write_json(path, value):
    path.write_text(json.dumps(value))
    return path


@pytest.fixture
def captions(tmp_path):
    texts = {1: ["a dog runs", "the dog"], 2: ["a red boat", "one boat"], 3: ["two cats sit"]}
    annotations = [{"image_id": i, "caption": t} for i, each in texts.items() for t in each]
    images = [{"id": i} for i in texts]
    return write_json(tmp_path / "c.json", {"images": images, "annotations": annotations})


@given(official_sets(), st.data())
def test_a_part_is_scored_as_if_there_were_no_more(tmp_path_factory, official, data):
    folder = tmp_path_factory.mktemp("set")
    annotations, predictions = official
    asked = [entry["question_id"] for entry in annotations]
    kept = data.draw(st.lists(st.sampled_from(asked), min_size=1, unique=True))
    part = {q: predictions[q] for q in kept}
    path, results = write_set(folder, annotations, part)
    found = VqaReferences(path, only_predicted=True)
    scores = found.score(results)
    rest = [entry for entry in annotations if entry["question_id"] in part]
    expected = evaluate(*write_set(folder, rest, part))
    assert (scores.overall, scores.per_answer_type, scores.per_question_type) == expected[:3]
    assert found.n == len(annotations)


def test_entries_of_odd_files_are_left_out_too(tmp_path):
    entries = [annotation(q, official_answers(["yes"] * 10)) for q in ("a", "b", 3)]
    path, results = write_set(tmp_path, entries, {"b": "yes"})
    scores = VqaReferences(path, only_predicted=True).score(results)
    assert (list(scores.question_ids), scores.overall) == (["b"], 100)


def test_signature_and_table_say_how_much_was_scored(tmp_path):
    entries = [annotation(q, official_answers(["yes"] * 10)) for q in range(4)]
    path, results = write_set(tmp_path, entries, {1: "yes", 3: "no"})
    assert "or score these alone by --only-predicted" in run(results, "--annotations", path, code=1)
    output = run(results, "--annotations", path, "--only-predicted")
    assert "scored on 2 of 4 questions; the others have no prediction" in output
    assert "|n:2|of:4|only-predicted|" in output
    found = json.loads(
        run(results, "--annotations", path, "--only-predicted", "--json", "-").partition("\n")[2]
    )
    assert (found["n"], found["overall"]) == (2, 50)
    whole = write_json(tmp_path / "all.json", [{"question_id": q, "answer": ""} for q in range(4)])
    assert "|n:4|frostgrid" in run(whole, "--annotations", path, "--only-predicted")


def test_captions_are_scored_on_the_images_described(captions, tmp_path):
    part = write_json(tmp_path / "p.json", [{"image_id": 2, "caption": "a boat"}])
    content = json.loads(captions.read_text())
    kept = [entry for entry in content["annotations"] if entry["image_id"] == 2]
    alone = write_json(tmp_path / "alone.json", {"images": [{"id": 2}], "annotations": kept})
    ways = [("--captions", captions, "--only-predicted"), ("--captions", alone)]
    found, expected = (
        json.loads(run(part, *way, "--json", "-").partition("\n")[2]) for way in ways
    )
    assert "|n:1|of:3|only-predicted|" in found.pop("signature")
    expected.pop("signature")
    assert found == expected


def test_predictions_of_unknown_items_are_refused_all_the_same(captions, tmp_path):
    more = write_json(tmp_path / "p.json", [{"image_id": i, "caption": "a boat"} for i in (2, 77)])
    assert "1 of 2 predictions fit none" in run(
        more, "--captions", captions, "--only-predicted", code=1
    )
    none = write_json(tmp_path / "n.json", [{"image_id": 77, "caption": "a boat"}])
    assert "fit none" in run(none, "--captions", captions, "--only-predicted", code=1)


def test_files_side_by_side_must_predict_the_same(tmp_path):
    entries = [annotation(q, official_answers(["yes"] * 10)) for q in range(4)]
    path, first = write_set(tmp_path, entries, {1: "yes", 3: "no"})
    other = write_json(tmp_path / "o.json", [{"question_id": q, "answer": "no"} for q in (1, 2)])
    output = run(first, other, "--annotations", path, "--only-predicted", code=1)
    assert "of which 1 are among the 2 of" in output


def test_what_predict_recorded_is_in_the_signature_and_must_add_up(tmp_path):
    entries = [annotation(q, official_answers(["yes"] * 10)) for q in range(4)]
    data = tmp_path / "data"
    data.mkdir()
    _, results = write_set(tmp_path, entries, {1: "yes", 3: "yes"})
    write_json(data / "val_annotations.json", {"annotations": entries})
    record_source(results, str(data), "val", "vqa", {"missing": {"images": 1, "texts": 2}})
    output = run(results)
    assert "|n:2|of:4|left-out:missing=2|" in output
    assert "the others were left out: 2 without features (--missing skip)" in output
    record_source(results, str(data), "val", "vqa", {"missing": {"images": 1, "texts": 1}})
    assert "says that 3 of 4 were made" in run(results, code=1)
    assert "|only-predicted|" in run(results, "--only-predicted")


def test_an_empty_results_file_is_no_part(tmp_path):
    entries = [annotation(1, official_answers(["yes"] * 10))]
    path, results = write_set(tmp_path, entries, {})
    with pytest.raises(InputError, match="have no prediction"):
        VqaReferences(path, only_predicted=True).score(results)
