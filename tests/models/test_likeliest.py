from collections.abc import Iterator

import pytest
import torch
from frostgrid.models.kernels import choice
from frostgrid.models.kernels.choice import kernels
from frostgrid.models.likeliest import log_sums, top
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

INF, NAN = float("inf"), float("nan")


@pytest.fixture(autouse=True, scope="module")
def always_kernels() -> Iterator[None]:
    """Send even the smallest problem to the kernels."""
    before = choice._FEW_STEPS
    choice._FEW_STEPS = 0
    yield
    choice._FEW_STEPS = before


def first_of_equals(scores: Tensor, k: int, start: int) -> tuple[Tensor, Tensor]:
    values, places = scores[:, start:].float().sort(dim=1, descending=True, stable=True)
    return values[:, :k], places[:, :k] + start


@settings(max_examples=80, deadline=None)
@given(
    n_rows=st.integers(0, 5),
    n_classes=st.integers(4, 1500),
    k=st.integers(1, 8),
    start=st.sampled_from([0, 3]),
    levels=st.sampled_from([1, 3, 1000]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 1000),
)
def test_equals_a_stable_sort(n_rows, n_classes, k, start, levels, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(levels, (n_rows, n_classes), generator=generator).to(dtype) - 20
    best, place = top(scores, k, start)
    values, places = first_of_equals(scores, k, start)
    assert torch.equal(best, values)
    assert torch.equal(place, places)
    with kernels("plain"):
        assert torch.equal(top(scores, k, start)[0], values)
        plain = log_sums(scores, start)
    torch.testing.assert_close(log_sums(scores, start), plain, rtol=1e-6, atol=1e-6)


def test_on_several_threads():
    scores = torch.randn(61, 9000).bfloat16()
    best, place = top(scores, 5, 3)
    assert torch.equal(best, scores[:, 3:].float().topk(5, 1).values)
    assert torch.equal(scores.float().gather(1, place), best)
    true = scores[:, 3:].double().logsumexp(1).float()
    torch.testing.assert_close(log_sums(scores, 3), true, rtol=1e-6, atol=1e-6)


def test_minus_infinity_is_found_last_of_all():
    scores = torch.full((2, 300), -INF)
    scores[0, 290], scores[0, 7] = 1.0, 2.0
    best, place = top(scores, 3)
    assert best.tolist() == [[2, 1, -INF], [-INF] * 3]
    assert place[0, :2].tolist() == [7, 290]
    assert ((place >= 0) & (place < 300)).all()
    assert log_sums(scores)[0] == torch.tensor([1.0, 2.0]).logsumexp(0)


def test_what_is_no_number_shows_in_the_sum():
    scores = torch.randn(3, 600)
    scores[1, 500] = NAN
    assert log_sums(scores).isnan().tolist() == [False, True, False]
    best, place = top(scores, 4)
    assert torch.equal(best[::2], scores[::2].topk(4, 1).values)
    assert ((place >= 0) & (place < 600)).all()


def test_scores_that_are_not_contiguous():
    scores = torch.randn(700, 6).t()
    assert torch.equal(top(scores, 4, 3)[0], scores[:, 3:].topk(4, 1).values)
    torch.testing.assert_close(log_sums(scores, 3), scores[:, 3:].logsumexp(1))
