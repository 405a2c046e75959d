"""Which images take part, and what becomes of the rest."""

import json
from pathlib import Path

import numpy as np
import pytest
from frostgrid.datasets.catalog import open_dataset
from frostgrid.train.data import captions as caption_data
from frostgrid.train.data import vqa as vqa_data
from frostgrid.train.data.selection import (
    Division,
    SplitPart,
    add_left_out,
    beyond_limit,
    hold_out,
)
from hypothesis import given
from hypothesis import strategies as st
from reference.vqa_sets import official_answers

ids_of_images = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=60, unique=True)


@given(ids_of_images, st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_share_is_held_out_by_the_seed_alone(ids, share, seed):
    images = np.sort(np.array(ids, np.int64))
    held = hold_out(images, share, seed)
    assert len(held) == max(1, round(share * len(images)))
    assert np.isin(held, images).all()
    assert (np.diff(held.astype(object)) > 0).all()
    assert held.tolist() == hold_out(images, share, seed).tolist()


def test_seeds_hold_out_different_images():
    images = np.arange(100)
    drawn = {tuple(hold_out(images, 0.1, seed)) for seed in range(5)}
    assert len(drawn) == 5


@given(ids_of_images, st.data())
def test_smaller_limits_keep_parts_of_larger_ones(ids, data):
    images = np.sort(np.array(ids, np.int64))
    among = np.array(data.draw(st.lists(st.sampled_from(ids), unique=True)), np.int64)
    small, large = sorted(data.draw(st.tuples(st.integers(1, 70), st.integers(1, 70))))
    kept = [set(among) - set(beyond_limit(images, among, n)) for n in (small, large)]
    assert kept[0] <= kept[1] <= set(among)
    assert [len(each) for each in kept] == [min(n, len(among)) for n in (small, large)]


def test_a_part_counts_what_it_leaves_out_by_reason():
    part = SplitPart("train", np.arange(6)).without("missing", np.array([5, 1]))
    part = part.without("limit", np.array([0])).without("hold_out", np.array([], np.int64))
    texts = np.array([0, 0, 1, 2, 5, 5, 5, 9])
    assert part.keeps(texts).tolist() == [False, False, False, True, False, False, False, False]
    expected = {"missing": {"images": 2, "texts": 4}, "limit": {"images": 1, "texts": 2}}
    assert part.count_left_out(texts) == expected
    twice = add_left_out([expected, {"limit": {"images": 1, "texts": 1}}, {}])
    assert twice["limit"] == {"images": 2, "texts": 3}
    assert part.key != SplitPart("train", np.arange(6)).key != SplitPart("train").key == []


@pytest.fixture
def twins(tmp_path: Path, empty_cache: Path) -> Path:
    """A set whose splits have the same image ids, and words and answers of their own."""
    for split, words in (("train", "ant bee cow dog"), ("val", "elk fox gnu hen")):
        names = words.split()
        keys = [{"question_id": i, "image_id": i} for i in range(len(names))]
        pairs = list(zip(keys, names, strict=True))
        contents = {
            "questions": [{**key, "question": f"is it a {name}?"} for key, name in pairs],
            "annotations": [
                {**key, "answers": official_answers([name] * 10)} for key, name in pairs
            ],
        }
        for kind, entries in contents.items():
            (tmp_path / f"{split}_{kind}.json").write_text(json.dumps({kind: entries}))
        captions = [{"image_id": key["image_id"], "caption": f"one {name}"} for key, name in pairs]
        (tmp_path / f"{split}_captions.json").write_text(json.dumps({"annotations": captions}))
    return tmp_path


def test_both_splits_are_one_where_images_have_the_same_ids(twins):
    data = open_dataset(str(twins))
    parts = [SplitPart("train", np.arange(4)), SplitPart("val", np.array([1, 3]))]
    division = Division(parts, SplitPart("val", np.array([0, 2])))
    train, val, words, answers = vqa_data.load_train_val(
        data, vqa_data.VqaOptions(min_word_count=1), division
    )
    assert train.image_id.tolist() == [0, 1, 2, 3, 4, 5]
    assert sorted(answers) == ["ant", "bee", "cow", "dog", "fox", "hen"]
    assert [answers[a] for a in train.targets.commonest] == [
        "ant",
        "bee",
        "cow",
        "dog",
        "fox",
        "hen",
    ]
    assert {"elk", "gnu"} & {*words} == set()
    assert val.image_id.tolist() == [0, 2]
    assert val.targets.commonest.tolist() == [-1, -1]
    plain = caption_data.CaptionOptions(min_word_count=1)
    train, val, words = caption_data.load_train_val(data, plain, division)
    assert train.references == [[f"one {w}"] for w in ("ant", "bee", "cow", "dog", "fox", "hen")]
    assert train.image_ids.tolist() == [0, 1, 2, 3, 4, 5]
    assert val.references == [["one elk"], ["one gnu"]]
    assert "elk" not in words


def test_a_part_has_the_samples_that_a_file_of_them_alone_gives(twins, tmp_path):
    options = vqa_data.VqaOptions(min_word_count=1)
    data = open_dataset(str(twins))
    part = SplitPart("train", np.array([1, 3]), {"missing": np.array([0, 2])})
    found = vqa_data.load_train_val(data, options, Division([part]))
    assert found[0].left_out == {"missing": {"images": 2, "texts": 2}}
    for kind in ("questions", "annotations"):
        path = twins / f"train_{kind}.json"
        entries = json.loads(path.read_text())[kind]
        path.write_text(json.dumps({kind: [e for e in entries if e["image_id"] in (1, 3)]}))
    alone = vqa_data.load_train_val(data, options)
    assert found[2:] == alone[2:]
    assert found[0].tokens.tolist() == alone[0].tokens.tolist()
    assert vars(found[0].targets).keys() == vars(alone[0].targets).keys()
    for name, values in vars(found[0].targets).items():
        assert values.tolist() == getattr(alone[0].targets, name).tolist()
    assert found[0].digests["questions"] == alone[0].digests["questions"]


def test_nothing_is_validated_on_without_a_split_for_it(twins):
    data = open_dataset(str(twins))
    both = [SplitPart(split, np.arange(4)) for split in ("train", "val")]
    train, val, *_ = vqa_data.load_train_val(data, vqa_data.VqaOptions(), Division(both, None))
    assert (len(train.question_id), len(val.question_id), val.digests) == (8, 0, {})
    options = caption_data.CaptionOptions(min_word_count=1)
    train, val, _ = caption_data.load_train_val(data, options, Division(both, None))
    assert (len(train.image_id), len(val.image_id), val.references) == (8, 0, [])
