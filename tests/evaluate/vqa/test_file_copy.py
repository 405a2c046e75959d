"""Files that change while they are scored: every number belongs to the bytes that gave it."""

import gzip
import json
import os
import random
import threading

import pytest
from frostgrid.errors import InputError
from frostgrid.evaluate.vqa import cache as vqa_cache
from frostgrid.evaluate.vqa import columns, file_copy
from frostgrid.evaluate.vqa.file_copy import FileCopy
from frostgrid.evaluate.vqa.references import VqaReferences
from reference.vqa_sets import annotation, official_answers, write_set


@pytest.fixture
def kept_by_two(monkeypatch, empty_cache):
    """However short a file is, two processes read it and its table is kept."""
    monkeypatch.setattr(file_copy, "LONG_BYTES", 1)
    monkeypatch.setattr(columns, "SHARED_BYTES", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    return empty_cache


@pytest.fixture
def two_sets(tmp_path, kept_by_two):
    """Annotations A and B, results that are right for A and wrong for B."""
    paths = []
    for name, answer in (("a", "yes"), ("b", "not")):  # of equal length
        (tmp_path / name).mkdir()
        people = official_answers([answer] * 10)
        entries = [annotation(i, people) for i in range(200)]
        paths.append(write_set(tmp_path / name, entries, dict.fromkeys(range(200), "yes"))[0])
    assert paths[0].stat().st_size == paths[1].stat().st_size
    return *paths, tmp_path / "a" / "preds.json"


def overall(annotations, results):
    return VqaReferences(annotations).score(results).overall


def replace(path, data):
    other = path.with_name("other")
    other.write_bytes(data)
    os.replace(other, path)


def overwrite(path, data):
    with path.open("r+b") as file:
        file.write(data)


def cut_off(path, data):
    os.truncate(path, 100)


CHANGES = [replace, overwrite, cut_off]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("moment", ["AnnotationReader", "start_process"])
def test_annotations_that_change_after_they_are_hashed(two_sets, monkeypatch, change, moment):
    first, second, results = two_sets
    live = first.with_name("live.json")
    live.write_bytes(first.read_bytes())
    module = vqa_cache if moment == "AnnotationReader" else columns
    original = getattr(module, moment)

    def change_first(*args):
        change(live, second.read_bytes())
        return original(*args)

    monkeypatch.setattr(module, moment, change_first)
    assert overall(live, results) == 100
    monkeypatch.setattr(module, moment, original)
    assert (overall(first, results), overall(second, results)) == (100, 0)


def test_annotations_that_change_while_they_are_hashed_are_refused(
    two_sets, monkeypatch, kept_by_two
):
    first, _, results = two_sets

    class Touching:
        """A hash that has the file written while it is read."""

        def update(self, data):
            os.utime(first, ns=(1, 1))

        def hexdigest(self):
            return "of both"

    monkeypatch.setattr(file_copy.hashlib, "sha256", Touching)
    with pytest.raises(InputError, match=r"annotations.json: changed while it was being read; run"):
        overall(first, results)
    assert not list(kept_by_two.glob("*"))


@pytest.mark.parametrize("n_bytes", [0, 100])
def test_annotations_cut_off_while_they_are_read_are_refused(two_sets, monkeypatch, n_bytes):
    first, _, results = two_sets

    def cut_off_after(file):
        size = file_size(file)
        os.truncate(first, n_bytes)
        return size

    file_size = file_copy.long_size
    monkeypatch.setattr(file_copy, "long_size", cut_off_after)
    with pytest.raises(InputError, match="changed while it was being read"):
        overall(first, results)


@pytest.mark.parametrize("change", CHANGES)
def test_annotations_that_change_between_hash_and_copy_are_refused(two_sets, monkeypatch, change):
    first, second, results = two_sets
    assert overall(first, results) == 100
    (kept,) = vqa_cache.cache_folder().iterdir()
    kept.write_bytes(b"damaged")
    copy = FileCopy(first, vqa_cache.has_kept_table)
    copy.digest()
    change(first, second.read_bytes())
    with pytest.raises(InputError, match="changed while it was being read"):
        copy.text()


def test_results_are_read_once(small_set, monkeypatch):
    annotations, results = small_set
    right = '[{"question_id": 1, "answer": "yes", "x": NaN}, {"question_id": 2, "answer": "3"}]'
    results.write_text(right)  # NaN: refused by the fast decoder
    decode = columns.decode_results

    def decode_and_change(text):
        results.write_text("[]")
        return decode(text)

    monkeypatch.setattr("frostgrid.evaluate.vqa.references.decode_results", decode_and_change)
    assert overall(annotations, results) == 100


def test_kept_tables_with_flipped_bits_never_change_a_score(two_sets, kept_by_two):
    first, _, results = two_sets
    expected = VqaReferences(first).score(results)
    (kept,) = kept_by_two.iterdir()
    data, draw, rebuilt = kept.read_bytes(), random.Random(0), 0
    for _ in range(40):
        damaged = bytearray(data)
        damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        kept.write_bytes(damaged)
        found = VqaReferences(first).score(results)
        assert found.accuracy.tolist() == expected.accuracy.tolist()
        assert (found.question_ids, found.image_ids) == (expected.question_ids, expected.image_ids)
        assert found.per_question_type == expected.per_question_type
        rebuilt += kept.read_bytes() != damaged
    assert rebuilt > 20


def test_a_packed_file_shares_the_kept_table_of_its_content(two_sets, kept_by_two):
    first, _, results = two_sets
    packed = first.with_suffix(".json.gz")
    packed.write_bytes(gzip.compress(first.read_bytes()))
    assert overall(packed, results) == overall(first, results) == 100
    assert len(list(kept_by_two.iterdir())) == 1


def test_a_pipe_is_read_once(small_set, tmp_path):
    annotations, results = small_set
    content = json.loads(annotations.read_text())
    content["annotations"][0]["answers"][0]["answer_id"] = 77  # refused by the fast decoder
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(json.dumps(content),))
    writer.start()
    assert overall(pipe, results) == 50
    writer.join()
