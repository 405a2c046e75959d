"""Long annotations, of which a second process reads a part."""

import json
import shutil
import sys
from tempfile import TemporaryDirectory

import pytest
from frostgrid.evaluate.vqa import columns as vqa_columns
from frostgrid.evaluate.vqa import file_copy
from frostgrid.evaluate.vqa.annotation_table import AnnotationTable
from frostgrid.evaluate.vqa.columns import AnnotationReader, decode_results
from frostgrid.evaluate.vqa.file_copy import FileCopy
from frostgrid.evaluate.vqa.json_pieces import IrregularFile
from frostgrid.evaluate.vqa.references import VqaReferences
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.vqa_sets import assert_equals_reference, official_sets, write_set


def score_columns(annotations, results):
    return VqaReferences(annotations)._score_columns(results, results.read_bytes())


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
        patch.setattr("frostgrid.evaluate.vqa.json_pieces.PIECE_BYTES", 500)
        patch.setattr("os.cpu_count", lambda: 2)
        patch.setattr("frostgrid.evaluate.vqa.file_copy.LONG_BYTES", 1)
        patch.setenv("FROSTGRID_CACHE", folder)
        reader = AnnotationReader(FileCopy(paths[0]))
        assert reader.process is not None
        reader.close()
        assert_equals_reference(*paths, score_columns(*paths))


@pytest.fixture
def two_processes(monkeypatch, empty_cache):
    """However short a file is, a second process reads a part of it."""
    monkeypatch.setattr(file_copy, "LONG_BYTES", 1)
    monkeypatch.setattr(vqa_columns, "SHARED_BYTES", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)


@pytest.fixture
def longer_set(small_set):
    """The small set, its second question a hundred times and all answers alike."""
    annotations, results = small_set
    content = json.loads(annotations.read_text())
    entry = content["annotations"][1]
    content["annotations"] += [{**entry, "question_id": 100 + k} for k in range(99)]
    annotations.write_text(json.dumps(content))
    ids = [entry["question_id"] for entry in content["annotations"]]
    results.write_text(json.dumps([{"question_id": number, "answer": "3"} for number in ids]))
    return small_set


@pytest.mark.usefixtures("two_processes")
def test_a_broken_part_of_the_second_process_is_left_to_the_plain_decoder(longer_set):
    annotations, results = longer_set
    content = json.loads(annotations.read_text())
    content["annotations"][80]["answers"][0]["answer_id"] = 77
    annotations.write_text(json.dumps(content))
    with pytest.raises(IrregularFile):
        AnnotationReader(FileCopy(annotations)).read()
    assert_equals_reference(annotations, results, VqaReferences(annotations).score(results))


@pytest.mark.usefixtures("two_processes")
def test_a_second_process_that_cannot_run_is_done_without(longer_set, monkeypatch):
    annotations, results = longer_set
    for command in (shutil.which("false"), "/nowhere/python"):
        monkeypatch.setattr(sys, "executable", command)
        reader = AnnotationReader(FileCopy(annotations))
        table = AnnotationTable.join(annotations, reader.read())
        scores = table.score(results, decode_results(results.read_bytes()))
        assert_equals_reference(annotations, results, scores)
