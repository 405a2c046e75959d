"""Resident batches are the present ones, and padding."""

import numpy as np
import pytest
import torch
from frostgrid.train.data.batches import SamplesByImage
from frostgrid.train.data.resident import (
    ClassTargets,
    ResidentSamples,
    SparseTargets,
    no_targets,
)
from frostgrid.train.data.vqa_targets import SoftTargets
from frostgrid.train.features.split import Cells
from frostgrid.train.tasks.losses import few_classes_cross_entropy, sparse_cross_entropy
from frostgrid.train.tasks.vqa import soft_entries
from hypothesis import given, settings
from hypothesis import strategies as st

CPU = torch.device("cpu")


class Rows:
    """Features whose value is their row; of image i it is 50 - i, resident at 2 (50 - i)."""

    def __init__(self):
        self.resident_row = 2 * np.arange(51)

    def rows(self, ids):
        return 50 - np.asarray(ids)

    def gather(self, rows, device):
        return Cells(torch.from_numpy(rows.astype(np.float32))[:, None])

    def take(self, index):
        return Cells(index[:, None] / 2)

    def prefetch(self, rows):
        pass


def samples(image_id, features=True):
    rng = np.random.default_rng(len(image_id))
    n = len(image_id)
    length = rng.integers(1, 8, n).astype(np.int32)
    tokens = rng.integers(1, 9, (n, 9)).astype(np.int32)
    tokens[np.arange(9) >= length[:, None]] = 0
    return SamplesByImage(
        np.array(image_id, np.int64), tokens, length, Rows() if features else None
    )


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=150),
    st.integers(1, 60),
    st.integers(0, 3),
    st.integers(0, 3),
    st.booleans(),
)
def test_padded_batches_equal_those_as_they_are(ids, batch_size, together, skip, seen):
    data = samples(ids, seen)
    data.limit_samples(together)
    classes = np.arange(len(ids)) + 100
    resident = ResidentSamples(data, ClassTargets(classes, CPU), CPU, batch_size)
    order = np.random.default_rng(0).permutation(data.n_groups)
    slots = resident.plan(order, skip)
    batches = list(data.batches(order, batch_size, CPU, skip))
    assert len(slots) == len(batches)
    for slot, batch in zip(slots, batches, strict=True):
        padded = resident.read(slot.packed, slot.shape)
        b, t = batch.tokens.shape
        u = int(batch.image_index.max()) + 1
        assert slot.part == batch.part
        assert len(slot) == b
        assert padded.tokens.shape == (slot.shape.samples, slot.shape.tokens)
        assert padded.is_sample.tolist() == [True] * b + [False] * (slot.shape.samples - b)
        assert padded.is_image.tolist() == [True] * u + [False] * (slot.shape.images - u)
        assert torch.equal(padded.image_index[:b], batch.image_index)
        assert padded.image_index.diff().ge(0).all()
        assert padded.image_index.max() < slot.shape.images
        assert torch.equal(padded.tokens[:b, :t], batch.tokens)
        assert not padded.tokens[:b, t:].any()
        assert torch.equal(padded.length[:b], batch.length)
        assert padded.length[b:].eq(1).all()
        assert padded.target[0].tolist() == [*(batch.item + 100)] + [-1] * len(padded.length[b:])
        assert (padded.features is None) == (not seen)
        if seen:
            assert torch.equal(padded.features.values[:u], batch.features.values)


def test_there_are_few_shapes():
    rng = np.random.default_rng(0)
    data = samples(rng.integers(0, 51, 20_000))
    data.limit_samples(5)
    resident = ResidentSamples(data, no_targets, CPU, 512)
    shapes = {
        slot.shape for e in range(3) for slot in resident.plan(rng.permutation(data.n_groups))
    }
    assert len(shapes) <= 6
    assert max(shape.samples for shape in shapes) <= 544  # 512 + 4, rounded up to 32


@pytest.mark.parametrize("repeated", [False, True])
def test_sparse_targets_give_the_loss_of_the_sparse_list(repeated):
    rng = np.random.default_rng(1)
    counts = np.array([0, 3, 1, 10, 0, 2])
    n = counts.sum()
    targets = SoftTargets(
        np.concatenate([[0], np.cumsum(counts)]),
        rng.integers(0, 12, n).astype(np.int32),
        rng.random(n).astype(np.float32),
        rng.integers(1, 11, n).astype(np.float32),
        np.zeros(6, np.int32),
    )
    item = np.array([3, 3, 1, 0]) if repeated else np.array([5, 0, 3, 4, 1])
    place = SparseTargets(*soft_entries(targets, np.arange(6)), 6, CPU)
    padded = np.append(item, [3, 3])
    is_sample = torch.arange(len(padded)) < len(item)
    scores = torch.randn(len(padded), 12, requires_grad=True)
    ours = few_classes_cross_entropy(scores, *place(torch.from_numpy(padded), is_sample))
    entries = map(torch.from_numpy, soft_entries(targets, item))
    wanted = sparse_cross_entropy(scores, *entries)
    torch.testing.assert_close(ours, wanted)
    mine, theirs = (torch.autograd.grad(loss, scores)[0] for loss in (ours, wanted))
    torch.testing.assert_close(mine, theirs)


def test_targets_of_a_split_where_nobody_gave_a_listed_answer():
    none = np.zeros(0, np.int64)
    place = SparseTargets(none, none, none.astype(np.float32), 2, CPU)
    target, weight = place(torch.tensor([1, 0]), torch.tensor([True, False]))
    assert target.shape == (2, 1)
    assert not weight.any()
