import json

import numpy as np
import pytest
from frostgrid.datasets.catalog import open_dataset
from frostgrid.errors import InputError
from frostgrid.train.data import captions as caption_data
from frostgrid.train.data.captions import CaptionOptions, load_split, load_train_val

pytestmark = pytest.mark.usefixtures("empty_cache")


@pytest.fixture
def data(tmp_path):
    rows = [
        ("train", ["A dog.", "a dog runs"]),
        ("restval", ["The dog."]),
        ("val", ["A cat runs fast."]),
        ("test", ["A dog runs", ""]),
    ]
    images = [
        {"filename": f"{i}.jpg", "split": s, "imgid": i, "sentences": [{"raw": t} for t in texts]}
        for i, (s, texts) in enumerate(rows)
    ]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "dataset_flickr8k.json").write_text(json.dumps({"images": images}))
    return open_dataset(str(folder))


def test_captions_become_tokens(data):
    train, val, words = load_train_val(data, CaptionOptions(min_word_count=2))
    assert words == ["<pad>", "<unk>", "<start>", "<end>", "dog", ".", "a"]
    assert train.image_id.tolist() == [0, 0, 1]
    assert train.tokens.tolist() == [[2, 6, 4, 5, 3], [2, 6, 4, 1, 3], [2, 1, 4, 5, 3]]
    assert train.length.tolist() == [5, 5, 5]
    assert train.references == [["A dog.", "a dog runs"], ["The dog."]]
    assert train.image_ids.tolist() == [0, 1]
    assert val.references == [["A cat runs fast."]]
    assert val.image_ids.tolist() == [2]
    assert val.tokens.dtype == val.length.dtype == np.int32


def test_splits_of_one_file_are_told_apart_in_the_cache(data):
    words = load_train_val(data, CaptionOptions(min_word_count=1))[2]
    assert load_split(data, "val", words).image_ids.tolist() == [2]
    test = load_split(data, "test", words)
    assert test.image_ids.tolist() == [3]
    assert test.length.tolist() == [5, 2]
    assert load_split(data, "test", words, max_length=1).length.tolist() == [3, 2]


def test_the_cache_changes_nothing(data, monkeypatch):
    options = CaptionOptions(min_word_count=1)
    first = load_train_val(data, options)

    def never(*args):
        raise AssertionError("parsed again")

    monkeypatch.setattr(caption_data, "read_captions", never)
    second = load_train_val(data, options)
    assert first[2] == second[2]
    for a, b in zip(first[:2], second[:2], strict=True):
        assert a.references == b.references
        for name in ("image_id", "tokens", "length", "image_ids"):
            assert np.array_equal(getattr(a, name), getattr(b, name))


def test_captions_that_are_cut_are_counted(data):
    train, val, _ = load_train_val(data, CaptionOptions(min_word_count=1, max_length=3))
    assert (train.n_cut, val.n_cut) == (0, 1)
    train, val, _ = load_train_val(data, CaptionOptions(min_word_count=1, max_length=2))
    assert (train.n_cut, val.n_cut) == (3, 1)


def test_digests_are_of_what_is_written_and_not_of_how_it_is_read(data):
    one = load_train_val(data, CaptionOptions(min_word_count=1))
    two = load_train_val(data, CaptionOptions(min_word_count=2, max_length=3))
    assert one[0].digests == two[0].digests
    assert one[1].digests == two[1].digests
    assert one[0].digests != one[1].digests


def test_a_vocabulary_without_words_is_refused(data, tmp_path):
    with pytest.raises(InputError, match="no word occurs 5 times") as error:
        load_train_val(data, CaptionOptions())
    assert "the most frequent, 'dog', occurs 3 times: add --min-word-count 3" in str(error.value)
    assert "spaces" not in str(error.value)
    texts = ["一只狗在草地上奔跑。", "两个杯子放在桌子上。"]
    images = [
        {"filename": f"{i}.jpg", "split": split, "imgid": i, "sentences": [{"raw": texts[i % 2]}]}
        for i, split in enumerate(["train", "train", "val"])
    ]
    folder = tmp_path / "chinese"
    folder.mkdir()
    (folder / "dataset_flickr8k.json").write_text(json.dumps({"images": images}))
    with pytest.raises(InputError, match="put spaces between the words first"):
        load_train_val(open_dataset(str(folder)), CaptionOptions())
