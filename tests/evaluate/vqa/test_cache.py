"""Annotations that are kept as a table from one run to the next."""

import pytest
from frostgrid.evaluate.vqa import cache as vqa_cache
from frostgrid.evaluate.vqa import file_copy
from frostgrid.evaluate.vqa.references import VqaReferences
from reference.vqa_sets import assert_equals_reference


@pytest.fixture
def kept_set(small_set, empty_cache, monkeypatch):
    """The small set, long enough to be kept."""
    monkeypatch.setattr(file_copy, "LONG_BYTES", 1)
    return small_set


def test_the_kept_table_gives_the_same_scores(kept_set, empty_cache, monkeypatch):
    annotations, results = kept_set
    first = VqaReferences(annotations).score(results)
    (kept,) = empty_cache.iterdir()
    monkeypatch.setattr(vqa_cache, "AnnotationReader", None)  # must not be needed again
    again = VqaReferences(annotations).score(results)
    assert_equals_reference(annotations, results, first)
    assert_equals_reference(annotations, results, again)
    assert (first.question_ids, first.image_ids) == (again.question_ids, again.image_ids)
    assert kept.name.startswith("vqa-references-")


def test_a_changed_file_is_read_anew(kept_set, empty_cache):
    annotations, results = kept_set
    assert VqaReferences(annotations).score(results).overall == 50
    annotations.write_text(annotations.read_text().replace("yes", "no"))
    assert VqaReferences(annotations).score(results).overall == 100
    assert len(list(empty_cache.iterdir())) == 2


def test_a_damaged_kept_table_is_made_anew(kept_set, empty_cache):
    annotations, results = kept_set
    assert VqaReferences(annotations).score(results).overall == 50
    (kept,) = empty_cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:-40])
    assert VqaReferences(annotations).score(results).overall == 50


def test_long_files_that_are_irregular_are_not_kept(kept_set, empty_cache):
    annotations, results = kept_set
    annotations.write_text(annotations.read_text().replace('"answer_id": 3', '"answer_id": 33'))
    references = VqaReferences(annotations)
    assert [references.score(results).overall for _ in range(2)] == [50, 50]
    assert not list(empty_cache.glob("*"))
