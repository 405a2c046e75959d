import json

import numpy as np
import pytest
from frostgrid.datasets.catalog import open_dataset
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
    first = load_train_val(data, CaptionOptions())

    def never(*args):
        raise AssertionError("parsed again")

    monkeypatch.setattr(caption_data, "load_captions", never)
    second = load_train_val(data, CaptionOptions())
    assert first[2] == second[2]
    for a, b in zip(first[:2], second[:2], strict=True):
        assert a.references == b.references
        for name in ("image_id", "tokens", "length", "image_ids"):
            assert np.array_equal(getattr(a, name), getattr(b, name))
