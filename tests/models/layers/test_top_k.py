import pytest
import torch
from frostgrid.models.kernels.choice import kernels
from frostgrid.models.layers.top_k import top_k
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

INF, NAN = float("inf"), float("nan")


pytestmark = pytest.mark.usefixtures("smallest_to_kernels")


def plainly(scores: Tensor, k: int, start: int, forbidden: Tensor) -> tuple[Tensor, Tensor]:
    """By a stable sort of all log-probabilities in float64."""
    log_p = scores[:, start:].double().log_softmax(1)
    log_p[:, forbidden - start] = -INF
    values, classes = log_p.sort(dim=1, descending=True, stable=True)
    return values[:, :k].float(), classes[:, :k] + start


@settings(max_examples=80, deadline=None)
@given(
    n_rows=st.integers(0, 5),
    n_classes=st.integers(4, 1500),
    k=st.integers(1, 8),
    start=st.sampled_from([0, 3]),
    levels=st.sampled_from([1, 3, 1000]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    n_forbidden=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_equals_a_stable_sort(n_rows, n_classes, k, start, levels, dtype, n_forbidden, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(levels, (n_rows, n_classes), generator=generator).to(dtype) / 50 - 2
    forbidden = torch.randint(start, n_classes, (n_forbidden,), generator=generator)

    def forbid(scores: Tensor) -> None:
        scores[:, forbidden] = -INF

    values, classes = plainly(scores, k, start, forbidden)
    best, found = top_k(scores.clone(), k, start, forbid)
    torch.testing.assert_close(best, values, rtol=2e-6, atol=2e-6)
    assert torch.equal(found[best > -INF], classes[best > -INF])
    assert ((found >= 0) & (found < n_classes)).all()
    with kernels("plain"):
        best = top_k(scores.clone(), k, start, forbid)[0]
    torch.testing.assert_close(best, values, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_several_threads(dtype):
    scores = torch.randn(61, 9000).to(dtype)
    values, classes = plainly(scores, 5, 3, torch.empty(0).long())
    best, found = top_k(scores, 5, 3)
    torch.testing.assert_close(best, values, rtol=2e-6, atol=2e-6)
    assert torch.equal(found, classes)


def test_minus_infinity_is_found_last_of_all():
    scores = torch.full((1, 300), -INF)
    scores[0, 290], scores[0, 7] = 1.0, 2.0
    best, found = top_k(scores, 3)
    assert best[0, 2] == -INF
    torch.testing.assert_close(best[0, :2], torch.tensor([2.0, 1.0]).log_softmax(0))
    assert found[0, :2].tolist() == [7, 290]


def test_what_is_no_number_spoils_its_row_alone():
    scores = torch.randn(3, 600)
    scores[1, 500] = NAN
    best, found = top_k(scores.clone(), 4)
    assert best[1].isnan().all()
    torch.testing.assert_close(best[::2], scores[::2].log_softmax(1).topk(4, 1).values)
    assert ((found >= 0) & (found < 600)).all()


def test_scores_that_are_not_contiguous():
    scores = torch.randn(700, 6).t()
    values = scores[:, 3:].log_softmax(1).topk(4, 1).values
    torch.testing.assert_close(top_k(scores, 4, 3)[0], values)
