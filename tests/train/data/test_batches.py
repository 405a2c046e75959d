import numpy as np
import pytest
import torch
from frostgrid.train.data.batches import SamplesByImage
from frostgrid.train.data.prefetch import read_ahead
from frostgrid.train.features.split import Cells
from hypothesis import given
from hypothesis import strategies as st

CPU = torch.device("cpu")


class Rows:
    """Features whose value is their row, found by image ids that run backwards."""

    def __init__(self, n):
        self.n = n

    def rows(self, ids):
        return self.n - 1 - np.asarray(ids)

    def gather(self, rows, device):
        return Cells(torch.from_numpy(rows.astype(np.float32))[:, None])

    def prefetch(self, rows):
        self.expected = rows


def texts(image_id):
    q = len(image_id)
    tokens = np.arange(1, q + 1, dtype=np.int32)[:, None].repeat(4, 1)
    length = (np.arange(q) % 4 + 1).astype(np.int32)
    return SamplesByImage(np.array(image_id, np.int64), tokens, length, Rows(100))


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=120), st.integers(1, 40), st.integers(0, 5)
)
def test_a_pass_holds_every_text_once_with_its_own_image(image_id, batch_size, together):
    data = texts(image_id)
    data.limit_samples(together)
    order = np.random.default_rng(0).permutation(data.n_groups)
    seen = []
    for batch in data.batches(order, batch_size, CPU):
        seen += batch.item.tolist()
        row = batch.features.values[batch.image_index, 0].numpy()
        assert (row == 99 - np.array(image_id)[batch.item]).all()
        assert (batch.tokens[:, 0].numpy() == batch.item + 1).all()
        assert batch.tokens.shape[1] == int(batch.length.max())
        assert len(np.unique(batch.image_index)) == len(batch.features.values)
    assert sorted(seen) == list(range(len(image_id)))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=60), st.integers(1, 40))
def test_batches_are_alike_in_size(counts, batch_size):
    data = texts(np.repeat(np.arange(len(counts)), counts))
    sizes = [len(batch) for batch in data.batches(np.arange(len(counts)), batch_size, CPU)]
    assert all(size < batch_size + max(counts) for size in sizes)
    # The last batch begins with the first text of an image, which may lie in the batch before.
    if batch_size >= max(counts):
        assert data.n_batches(batch_size) - 1 <= len(sizes) <= data.n_batches(batch_size)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=60), st.integers(1, 5))
def test_groups_are_no_larger_than_they_may_be(counts, together):
    data = texts(np.repeat(np.arange(len(counts)), counts))
    data.limit_samples(together)
    assert data.n_images == len(counts)
    sizes = [np.diff(data.first)[data.image_row == row] for row in np.unique(data.image_row)]
    for size, count in zip(sizes, counts[::-1], strict=True):  # the last image has the first row
        assert size.tolist() == [together] * (count // together) + [count % together] * bool(
            count % together
        )


def test_skipping_goes_on_where_a_pass_was_left():
    data = texts(np.repeat(np.arange(20), 3))
    order = np.arange(20)
    whole = [batch.item.tolist() for batch in data.batches(order, 7, CPU)]
    rest = [batch.item.tolist() for batch in data.batches(order, 7, CPU, skip=2)]
    assert rest == whole[2:]


def test_texts_left_out_are_never_read():
    image_id = np.array([5, 5, 6, 7])
    tokens, length = np.ones((4, 2), np.int32), np.ones(4, np.int32)
    keep = np.array([True, False, False, True])
    data = SamplesByImage(image_id, tokens, length, Rows(100), keep)
    assert (data.n_images, data.n_items) == (2, 2)
    items = [i for batch in data.batches(np.arange(2), 10, CPU) for i in batch.item]
    assert sorted(items) == [0, 3]


def test_reading_ahead_hands_on_an_error():
    def fail():
        raise ValueError("row 3")

    with pytest.raises(ValueError, match="row 3"):
        list(read_ahead(iter([lambda: 1, fail])))


def test_reading_ahead_can_be_left():
    made = []

    def make(i):
        made.append(i)
        return i

    ahead = read_ahead(lambda i=i: make(i) for i in range(1000))
    assert next(ahead) == 0
    ahead.close()
    assert len(made) < 10
