import numpy as np
import pytest
from frostgrid.train.data.order import BLOCK, deranged, image_order, shuffled, shuffled_blocks
from hypothesis import given
from hypothesis import strategies as st

sizes = st.integers(0, 300)


@given(sizes, st.integers(0, 2**32), st.integers(0, 1000))
def test_shuffled_is_a_permutation_that_its_arguments_fix(n, seed, epoch):
    order = shuffled(n, seed, epoch)
    assert sorted(order) == list(range(n))
    assert (order == shuffled(n, seed, epoch)).all()


def test_shuffled_differs_by_seed_and_by_epoch():
    assert (shuffled(100, 0, 1) != shuffled(100, 0, 2)).any()
    assert (shuffled(100, 0, 1) != shuffled(100, 1, 1)).any()


@given(sizes, st.integers(0, 99), st.integers(0, 9), st.integers(1, 50))
def test_shuffled_blocks_is_a_permutation(n, seed, epoch, block):
    assert sorted(shuffled_blocks(n, seed, epoch, block)) == list(range(n))


def test_shuffled_blocks_is_local():
    order = shuffled_blocks(10_000, 0, 1, 100)
    for start in range(0, 9_800, 200):  # 200 rows: parts of two pairs of blocks
        blocks = np.unique(order[start : start + 200] // 100)
        assert len(blocks) <= 8  # each of the four blocks begins within one and ends in the next


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 1000])
def test_deranged_moves_everything(n):
    order = deranged(n, 0)
    assert sorted(order) == list(range(n))
    if n > 1:
        assert (order != np.arange(n)).all()


def test_the_order_that_is_asked_for():
    assert (image_order("full", 5000, 3, 2) == shuffled(5000, 3, 2)).all()
    assert (image_order("local", 5000, 3, 2) == shuffled_blocks(5000, 3, 2, BLOCK)).all()
