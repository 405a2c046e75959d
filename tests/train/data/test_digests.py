import numpy as np
import pytest
from frostgrid.train.data.digests import digest, name_changes


def test_a_digest_tells_values_types_shapes_and_bounds_apart():
    one = np.arange(6, dtype=np.int32)
    parts = [
        (one,),
        (one[::-1],),
        (one.astype(np.int64),),
        (one.reshape(2, 3),),
        (one[:3], one[3:]),
        (["ab", "c"],),
        (["a", "bc"],),
        (["ab"], ["c"]),
    ]
    assert len({digest(*each) for each in parts}) == len(parts)
    assert digest(one[::2]) == digest(one[::2].copy())


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"train_answers": "a", "val_features": "b", "vocabulary": "c"}, ""),
        ({"train_answers": "x", "val_features": "b"}, "the training answers"),
        ({"val_features": "x", "vocabulary": "x"}, "the validation features and the vocabulary"),
        (
            {"train_answers": "x", "val_features": "x", "vocabulary": "x"},
            "the training answers, the validation features and the vocabulary",
        ),
        ({"more": "x"}, ""),
    ],
)
def test_changes_are_named(now, words):
    before = {"train_answers": "a", "val_features": "b", "vocabulary": "c"}
    assert name_changes(before, now) == words
