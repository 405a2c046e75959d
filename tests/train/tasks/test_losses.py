import pytest
import torch
from frostgrid.models.kernels.choice import kernels
from frostgrid.train.tasks import losses
from frostgrid.train.tasks.losses import (
    class_cross_entropy,
    commonest_cross_entropy,
    soft_cross_entropy,
    sparse_cross_entropy,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

INF, NAN = float("inf"), float("nan")
Target = tuple[Tensor, Tensor, Tensor]
STORED = st.sampled_from([torch.float32, torch.bfloat16])


pytestmark = pytest.mark.usefixtures("smallest_to_kernels", "on_two_threads")


def make(
    n_rows: int = 5,
    n_classes: int = 700,
    n_targets: int = 9,
    deviation: float = 1,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> tuple[Tensor, Target]:
    """Targets in any order, also twice; rows without any; weights that add up to anything."""
    generator = torch.Generator().manual_seed(seed)
    scores = (torch.randn(n_rows, n_classes, generator=generator) * deviation).to(dtype)
    n = n_targets if n_rows else 0
    row = torch.randint(max(1, n_rows), (n,), generator=generator)
    target = torch.randint(min(n_classes, 50), (n,), generator=generator)
    return scores, (row, target, torch.rand(n, generator=generator))


def loss_and_gradient(scores: Tensor, target: Target, factor: float = 1.0) -> tuple[Tensor, Tensor]:
    scores = scores.detach().requires_grad_()
    loss = sparse_cross_entropy(scores, *target)
    (gradient,) = torch.autograd.grad(loss * factor, scores)
    return loss.detach(), gradient


def assert_equals_float64(scores: Tensor, target: Target, factor: float = 1.0) -> None:
    """Against PyTorch's own operations and autograd in float64."""
    loss, gradient = loss_and_gradient(scores, target, factor)
    true_loss, true = loss_and_gradient(scores.double(), target, factor)
    assert loss.dtype == torch.float32
    assert gradient.dtype == scores.dtype
    torch.testing.assert_close(loss.double(), true_loss, rtol=1e-6, atol=1e-6)
    # A row's numbers cannot be nearer than to the rounding of its largest parts.
    close = 1e-6 * float(torch.bincount(target[0], target[2], 1).max()) * abs(factor)
    rounding = 2.0**-8 if scores.dtype == torch.bfloat16 else 2e-6
    torch.testing.assert_close(gradient.double(), true, rtol=rounding, atol=close)


@settings(max_examples=80, deadline=None)
@given(
    n_rows=st.integers(0, 9),
    n_classes=st.integers(1, 1100),
    n_targets=st.integers(0, 20),
    deviation=st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    dtype=STORED,
    seed=st.integers(0, 1000),
)
def test_equals_float64(n_rows, n_classes, n_targets, deviation, dtype, seed):
    scores, target = make(n_rows, n_classes, n_targets, deviation, dtype, seed)
    assert_equals_float64(scores, target, 0.3)


@settings(max_examples=30, deadline=None)
@given(n_rows=st.integers(1, 9), dtype=STORED, seed=st.integers(0, 1000))
def test_one_target_a_row_equals_cross_entropy(n_rows, dtype, seed):
    scores, _ = make(n_rows, dtype=dtype, seed=seed)
    target = torch.randint(-1, 700, (n_rows,), generator=torch.Generator().manual_seed(seed))
    plain = functional.cross_entropy(
        scores.double(), target, ignore_index=-1, reduction="sum"
    ).float()
    torch.testing.assert_close(class_cross_entropy(scores, target), plain, rtol=1e-6, atol=1e-6)
    with kernels("plain"):
        found = class_cross_entropy(scores, target)
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-5)


def test_the_plain_form_equals_the_dense_one():
    scores, target = make(6, 40, 12, dtype=torch.float64)
    scores.requires_grad_()
    dense = torch.zeros(6, 40, dtype=torch.float64)
    dense.index_put_(target[:2], target[2].double(), accumulate=True)
    plain = -(dense * scores.log_softmax(1)).sum()
    torch.testing.assert_close(sparse_cross_entropy(scores, *target), plain)
    assert torch.autograd.gradcheck(lambda x: sparse_cross_entropy(x, *target), scores)


def test_without_kernels_the_plain_form_runs(monkeypatch):
    scores, target = make()
    monkeypatch.setattr(losses, "_fused", lambda *_: pytest.fail("fused"))
    with kernels("plain"):
        sparse_cross_entropy(scores, *target)
        class_cross_entropy(scores, torch.tensor([1, 2, 3, -1, 0]))
    sparse_cross_entropy(scores.half(), *target)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [1e38, -1e38, 87.0, 88.0, -87.5, 1e-40])
def test_huge_and_tiny_scores(dtype, value):
    scores, target = make(dtype=dtype)
    scores[:, 3::7] = value
    assert_equals_float64(scores, target)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_minus_infinity_is_a_probability_of_zero(dtype):
    scores, _ = make(3, dtype=dtype)
    scores[:, 5:] = -INF
    target = torch.arange(3), torch.tensor([1, 4, 2]), torch.ones(3)
    assert_equals_float64(scores, target)
    assert not loss_and_gradient(scores, target)[1][:, 5:].any()
    assert sparse_cross_entropy(scores, target[0], target[1] + 4, target[2]) == INF


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [NAN, -NAN, INF])
@pytest.mark.parametrize("place", [0, 300, 699])
def test_a_score_that_is_no_number_spoils_its_row_alone(dtype, value, place):
    scores, _ = make(3, dtype=dtype)
    scores[1, place] = value
    row, target, weight = torch.arange(3), torch.tensor([1, 4, 2]), torch.ones(3)
    loss, gradient = loss_and_gradient(scores, (row, target, weight))
    assert loss.isnan()
    assert gradient[1].isnan().all()
    assert gradient[[0, 2]].isfinite().all()
    seen = row != 1  # without a target, a row is not read
    loss, gradient = loss_and_gradient(scores, (row[seen], target[seen], weight[seen]))
    assert loss.isfinite()
    assert not gradient[1].any()


@pytest.mark.parametrize("value", [NAN, -NAN, INF, -INF])
def test_a_row_of_nothing_else(value):
    scores, target = torch.full((1, 20), value), torch.tensor([0])
    loss, gradient = loss_and_gradient(scores, (target, target, torch.ones(1)))
    assert loss.isnan()
    assert gradient.isnan().all()


def test_repeats_exactly_on_any_number_of_threads():
    scores, target = make(40, 999, 60)
    first = loss_and_gradient(scores, target)
    torch.set_num_threads(1)
    second = loss_and_gradient(scores, target)
    torch.set_num_threads(2)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_scores_that_are_not_contiguous():
    scores, target = make(5, 1400)
    assert_equals_float64(scores[:, ::2], target)
    assert_equals_float64(scores[:, :700].t().contiguous().t(), target)


def test_no_gradient_is_no_error():
    scores, target = make()
    assert not sparse_cross_entropy(scores, *target).requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(
            sparse_cross_entropy(scores, *target).double(),
            sparse_cross_entropy(scores.double(), *target),
            rtol=1e-6,
            atol=1e-6,
        )


def test_what_is_not_there():
    scores, (row, target, weight) = make()
    for wrong in (-1, 5):
        with pytest.raises(IndexError, match=rf"row\[2\] is {wrong}: expected 0 to 4"):
            sparse_cross_entropy(scores, row.index_fill(0, torch.tensor(2), wrong), target, weight)
    with pytest.raises(IndexError, match=r"target\[0\] is 700: expected 0 to 699"):
        sparse_cross_entropy(scores, row, torch.full_like(target, 700), weight)
    with pytest.raises(IndexError, match=r"target\[0\] is -2"):
        class_cross_entropy(scores, torch.full((5,), -2))
    with pytest.raises(ValueError, match="9 rows, 8 targets and 9 weights"):
        sparse_cross_entropy(scores, row, target[1:], weight)


def test_soft_cross_entropy_equals_the_dense_form():
    torch.manual_seed(0)
    scores = torch.randn(6, 9, dtype=torch.float64, requires_grad=True)
    dense = torch.rand(6, 9, dtype=torch.float64) * (torch.rand(6, 9) < 0.3)
    dense[2] = 0  # a question whose answers are all outside the list
    row, answer = dense.nonzero(as_tuple=True)
    loss = soft_cross_entropy(scores.float(), row, answer, dense[row, answer].float())
    plain = -(dense * scores.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss, plain.float())
    (mine,) = torch.autograd.grad(loss, scores, retain_graph=True)
    (theirs,) = torch.autograd.grad(plain, scores)
    torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_soft_cross_entropy_on_one_answer_is_cross_entropy():
    scores, answer = torch.randn(5, 4), torch.tensor([0, 3, 2, 2, 1])
    loss = soft_cross_entropy(scores, torch.arange(5), answer, torch.ones(5))
    torch.testing.assert_close(loss, functional.cross_entropy(scores, answer))


def test_commonest_cross_entropy_leaves_out_what_the_list_lacks():
    scores = torch.randn(4, 3)
    loss = commonest_cross_entropy(scores, torch.tensor([1, -1, 0, -1]))
    kept = functional.cross_entropy(scores[[0, 2]], torch.tensor([1, 0]), reduction="sum")
    torch.testing.assert_close(loss, kept / 4)
