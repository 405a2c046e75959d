import json
import random

import numpy as np
import pytest
from frostgrid.datasets.catalog import open_dataset
from frostgrid.errors import InputError
from frostgrid.train.data import vqa as vqa_data
from frostgrid.train.data.vqa import VqaOptions, coverage, load_split, load_train_val

pytestmark = pytest.mark.usefixtures("empty_cache")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder, "train", [("What is it?", "dog"), ("Is it a dog?", "yes"), ("Is it?", "yes")])
    write(folder, "val", [("Is it a cat?", "no"), ("Is it a dog?", "Yes")])
    write(folder, "test", [("What is that?", None)])
    return folder


def write(folder, split, rows):
    questions = [
        {"question_id": 10 * i, "image_id": i, "question": text} for i, (text, _) in enumerate(rows)
    ]
    (folder / f"{split}_questions.json").write_text(json.dumps({"questions": questions}))
    if rows[0][1] is None:
        return
    annotations = [
        {
            "question_id": 10 * i,
            "image_id": i,
            "answers": [{"answer": answer, "answer_id": k} for k in range(9)]
            + [{"answer": "maybe", "answer_id": 9}],
        }
        for i, (_, answer) in enumerate(rows)
    ]
    (folder / f"{split}_annotations.json").write_text(json.dumps({"annotations": annotations}))


def same(a, b) -> bool:
    flat = [
        [d.question_id, d.image_id, d.tokens, d.length, *vars(d.targets).values()] for d in (a, b)
    ]
    return all(np.array_equal(x, y) for x, y in zip(*flat, strict=True))


def test_words_and_answers_come_from_training_alone(root):
    train, val, words, answers = load_train_val(open_dataset(str(root)), VqaOptions())
    assert answers == ["yes", "dog", "maybe"]
    assert words[:2] == ["<pad>", "<unk>"]
    assert "cat" not in words
    assert train.question_id.tolist() == [0, 10, 20]
    assert train.image_id.tolist() == [0, 1, 2]
    decoded = [[words[i] for i in row] for row in val.tokens]
    assert decoded == [["is", "it", "a", "<unk>", "?"], ["is", "it", "a", "dog", "?"]]
    assert val.length.tolist() == [5, 5]
    assert coverage(train) == 100
    assert coverage(val) == pytest.approx(100 * (0.3 + 1) / 2)


def test_the_cache_changes_nothing(root, monkeypatch):
    data = open_dataset(str(root))
    first = load_train_val(data, VqaOptions())

    def never(*args):
        raise AssertionError("parsed again")

    monkeypatch.setattr(vqa_data, "_parse", never)
    second = load_train_val(open_dataset(str(root)), VqaOptions())
    assert same(first[0], second[0])
    assert same(first[1], second[1])
    assert first[2:] == second[2:]


def test_a_file_that_is_replaced_meanwhile_is_not_kept_under_the_old_hash(root, monkeypatch):
    data = open_dataset(str(root))
    path = root / "val_annotations.json"
    parse, before = vqa_data._parse, path.read_text()

    def replace_and_parse(files):
        if files[1].path == path:
            path.write_text(before.replace('"no"', '"yes"'))
        return parse(files)

    monkeypatch.setattr(vqa_data, "_parse", replace_and_parse)
    racing = load_train_val(data, VqaOptions())
    monkeypatch.setattr(vqa_data, "_parse", parse)
    changed = load_train_val(data, VqaOptions())
    path.write_text(before)
    again = load_train_val(data, VqaOptions())
    assert same(racing[1], again[1])
    assert not same(racing[1], changed[1])


def test_changed_files_and_options_are_read_anew(root):
    data = open_dataset(str(root))
    load_train_val(data, VqaOptions())
    assert load_train_val(data, VqaOptions(n_answers=1))[3] == ["yes"]
    assert load_train_val(data, VqaOptions(min_answer_count=2))[3] == ["yes"]
    train, val, words, _ = load_train_val(data, VqaOptions(max_question_length=2, min_word_count=3))
    assert train.tokens.shape[1] == val.tokens.shape[1] == 2
    assert words[2:] == ["?", "is", "it"]
    write(root, "val", [("Is it a cat?", "dog")])
    assert len(load_train_val(data, VqaOptions())[1].question_id) == 1


def test_split_alone_equals_the_split_in_training(root):
    data = open_dataset(str(root))
    _, val, words, answers = load_train_val(data, VqaOptions())
    assert same(load_split(data, "val", words, answers), val)
    assert not same(load_split(data, "val", words, answers[::-1]), val)


def test_split_without_annotations_has_no_targets(root):
    data = open_dataset(str(root))
    _, _, words, answers = load_train_val(data, VqaOptions())
    test = load_split(data, "test", words, answers)
    assert test.targets is None
    assert test.length.tolist() == [4]
    with pytest.raises(InputError, match="no annotations"):
        coverage(test)


@pytest.mark.parametrize("split", ["train", "val"])
def test_training_needs_the_answers_of_both_splits(root, split):
    (root / f"{split}_annotations.json").unlink()
    with pytest.raises(InputError, match=f"the split '{split}' has no annotations file"):
        load_train_val(open_dataset(str(root)), VqaOptions())


def test_question_without_annotation_is_an_error_each_time(root):
    annotations = root / "val_annotations.json"
    content = json.loads(annotations.read_text())
    content["annotations"].pop(0)
    annotations.write_text(json.dumps(content))
    for _ in range(2):
        with pytest.raises(InputError, match=r"questions\[0\] \(question_id 0\) has no annotation"):
            load_train_val(open_dataset(str(root)), VqaOptions())


def test_digests_tell_what_changed(root):
    first = load_train_val(open_dataset(str(root)), VqaOptions())
    other = load_train_val(open_dataset(str(root)), VqaOptions(n_answers=1, max_question_length=2))
    assert first[0].digests == other[0].digests
    assert (first[0].n_cut, other[0].n_cut) == (0, 3)
    write(root, "val", [("Is it a cat?", "no"), ("Is it a dog?", "No")])
    val = load_train_val(open_dataset(str(root)), VqaOptions())[1]
    assert val.digests["questions"] == first[1].digests["questions"]
    assert val.digests["answers"] != first[1].digests["answers"]


def test_questions_of_which_no_word_is_frequent_are_refused(root):
    with pytest.raises(InputError, match="occurs 3 times: add --min-word-count 3 or less"):
        load_train_val(open_dataset(str(root)), VqaOptions(min_word_count=9))


def test_a_damaged_cache_is_built_anew(root, empty_cache):
    first = load_train_val(open_dataset(str(root)), VqaOptions())
    files = {path: path.read_bytes() for path in empty_cache.glob("*.npz")}
    assert len(files) == 2
    rng = random.Random(0)
    for path, data in files.items():
        for _ in range(100):
            flipped = bytearray(data)
            flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(flipped)
            again = load_train_val(open_dataset(str(root)), VqaOptions())
            assert same(again[0], first[0])
            assert same(again[1], first[1])
            assert again[2:] == first[2:]
            path.write_bytes(data)
