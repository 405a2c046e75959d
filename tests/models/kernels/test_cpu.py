import numpy as np
from frostgrid.models.kernels.cpu import group_by_image
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=100, deadline=None)
@given(index=st.lists(st.integers(0, 6), max_size=30), n_threads=st.integers(1, 5))
def test_pieces_cover_every_image_once(index, n_threads) -> None:
    by_image = group_by_image(np.array(index, np.int64), 7)
    assert by_image.order.tolist() == sorted(range(len(index)), key=lambda b: index[b])
    assert by_image.start.tolist() == [sum(u < v for u in index) for v in range(8)]
    images = [u for first, last in by_image.pieces(n_threads) for u in range(first, last)]
    assert images == list(range(7))
