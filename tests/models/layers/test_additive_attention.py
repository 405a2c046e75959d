import pytest
import torch
from frostgrid.models.kernels import choice
from frostgrid.models.kernels.shared_cells import SharedCells
from frostgrid.models.layers import additive_attention
from frostgrid.models.layers.additive_attention import (
    additive_scores,
    attend,
    kernels,
    mean_cell,
    set_kernels,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.additive_attention import scores as reference_scores
from reference.additive_attention import weighted_sums
from reference.attention_cases import assert_close, doubled, make, scored
from torch import Tensor

SIZES = st.fixed_dictionaries(
    {
        "n_images": st.integers(1, 5),
        "n_cells": st.integers(1, 9),
        "width": st.integers(1, 40),
        "n_queries": st.integers(0, 12),
        "seed": st.integers(0, 1000),
    }
)
# Largest difference from float64, relative to the largest number there.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13, torch.bfloat16: 1e-5}

pytestmark = pytest.mark.usefixtures("smallest_to_kernels")


@pytest.mark.parametrize("mode", ["auto", "plain"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@settings(max_examples=30, deadline=None)
@given(sizes=SIZES)
def test_forward_equals_the_written_out_form(mode, dtype, sizes) -> None:
    case = make(dtype=dtype, **sizes)
    cells = case.projected.double().numpy()
    index = case.image_index.numpy()
    with kernels(mode):
        scores = additive_scores(*scored(case))
        sums = attend(case.projected, case.alpha, case.image_index)
    assert scores.dtype == sums.dtype == case.query.dtype
    expected = reference_scores(cells, case.query.numpy(), case.weight.numpy(), index)
    assert_close(scores, torch.from_numpy(expected), TOLERANCE[dtype])
    expected = weighted_sums(cells, case.alpha.numpy(), index)
    assert_close(sums, torch.from_numpy(expected), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@settings(max_examples=30, deadline=None)
@given(sizes=SIZES)
def test_gradients_equal_those_of_the_plain_form(dtype, sizes) -> None:
    case = make(dtype=dtype, **sizes)
    for tensor in (case.projected, case.query, case.weight, case.alpha):
        tensor.requires_grad_()
    exact = doubled(case)
    scores = additive_scores(*scored(case))
    sums = attend(case.projected, case.alpha, case.image_index)
    to_scores, to_sums = torch.randn_like(scores), torch.randn_like(sums)
    found = torch.autograd.grad(scores, (case.projected, case.query, case.weight), to_scores)
    found += torch.autograd.grad(sums, (case.projected, case.alpha), to_sums)
    with kernels("plain"):
        scores = additive_scores(*scored(exact))
        sums = attend(exact.projected, exact.alpha, exact.image_index)
    inputs = (exact.projected, exact.query, exact.weight)
    expected = torch.autograd.grad(scores, inputs, to_scores.double())
    expected += torch.autograd.grad(sums, (exact.projected, exact.alpha), to_sums.double())
    for ours, theirs in zip(found, expected, strict=True):
        # The gradient of bfloat16 cells is itself rounded to 8 bits.
        tolerance = 2**-8 if ours.dtype == torch.bfloat16 else TOLERANCE[dtype]
        assert_close(ours, theirs, tolerance)


def test_gradcheck() -> None:
    case = doubled(make(n_images=3, n_cells=5, width=4, n_queries=6))
    index = case.image_index

    def attended_twice(cells: Tensor, query: Tensor, weight: Tensor, alpha: Tensor) -> Tensor:
        shared = SharedCells(cells)
        first = attend(shared, alpha, index)
        scores = additive_scores(shared, query + first, weight, index)
        return attend(shared, scores.softmax(1), index)

    inputs = (case.projected, case.query, case.weight)
    assert torch.autograd.gradcheck(lambda *x: additive_scores(*x, index), inputs)
    assert torch.autograd.gradcheck(lambda *x: attend(*x, index), (case.projected, case.alpha))
    assert torch.autograd.gradcheck(attended_twice, (*inputs, case.alpha))


def test_float16_cells_that_are_frozen_are_summed_as_they_are() -> None:
    case = make(dtype=torch.float16, n_cells=6)
    case.alpha.requires_grad_()
    ours = attend(case.projected, case.alpha, case.image_index)
    with kernels("plain"):
        plain = attend(case.projected, case.alpha, case.image_index)
    assert_close(ours, plain.double(), 1e-5)
    weights = torch.randn_like(ours)
    found, expected = (
        torch.autograd.grad((out * weights).sum(), case.alpha)[0] for out in (ours, plain)
    )
    assert_close(found, expected.double(), 1e-5)
    ours = additive_scores(*scored(case))
    with kernels("plain"):
        plain = additive_scores(*scored(case))
    assert_close(ours, plain.double(), 1e-5)


def test_float16_cells_that_learn_get_a_float16_gradient() -> None:
    case = make(dtype=torch.float16)
    cells = case.projected.requires_grad_()
    exact = cells.detach().double().requires_grad_()
    for given_cells, mode in ((cells, "auto"), (exact, "plain")):
        with kernels(mode):
            scores = additive_scores(given_cells, case.query, case.weight, case.image_index)
            attend(given_cells, scores.softmax(1), case.image_index).square().sum().backward()
    assert cells.grad.dtype == torch.float16
    assert_close(cells.grad, exact.grad, 2**-9)


@pytest.mark.parametrize("wanted", range(8))
def test_only_the_gradients_that_are_wanted(wanted) -> None:
    case = make()
    inputs = [case.projected, case.query, case.weight]
    for i, tensor in enumerate(inputs):
        tensor.requires_grad_(bool(wanted >> i & 1))
    out = additive_scores(*inputs, case.image_index)
    assert out.requires_grad == bool(wanted)
    if wanted:
        out.square().sum().backward()
    exact = doubled(case)
    with kernels("plain"):
        expected = additive_scores(*scored(exact))
        expected.square().sum().backward()
    for tensor, reference in zip(inputs, (exact.projected, exact.query, exact.weight), strict=True):
        assert (tensor.grad is not None) == tensor.requires_grad
        if tensor.grad is not None:
            assert_close(tensor.grad, reference.grad, 1e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_images_without_a_query_get_a_zero_gradient(shared) -> None:
    case = make(n_images=4)
    cells = case.projected.requires_grad_()
    given_cells = SharedCells(cells) if shared else cells
    index = torch.where(case.image_index == 2, 3, case.image_index)
    out = additive_scores(given_cells, case.query, case.weight, index).sum()
    (out + attend(given_cells, case.alpha, index).sum()).backward()
    assert (cells.grad[2] == 0).all()
    assert (cells.grad[3] != 0).all()


@pytest.mark.parametrize("mode", ["auto", "plain"])
def test_an_empty_batch(mode) -> None:
    case = make(n_queries=0)
    with kernels(mode):
        cells = case.projected.requires_grad_()
        scores = additive_scores(cells, case.query, case.weight, case.image_index)
        sums = attend(cells, case.alpha, case.image_index)
        (scores.sum() + sums.sum()).backward()
    assert scores.shape == (0, 7)
    assert sums.shape == (0, 20)
    assert (cells.grad == 0).all()


def test_memory_that_is_not_contiguous() -> None:
    case = make(n_cells=8)
    expected = additive_scores(*scored(case))
    strided = (
        case.projected.transpose(0, 2).contiguous().transpose(0, 2),
        case.query.repeat(1, 2)[:, :20],
        case.weight.repeat_interleave(2)[::2],
    )
    assert not any(tensor.is_contiguous() for tensor in strided)
    index = case.image_index.repeat_interleave(2)[::2]
    assert torch.equal(additive_scores(*strided, index), expected)
    expected = attend(case.projected, case.alpha, case.image_index)
    alpha = case.alpha.t().contiguous().t()
    assert torch.equal(attend(strided[0], alpha, index.int()), expected)
    # A gradient that is one number, spread out.
    cells = strided[0].clone().requires_grad_()
    attend(cells, alpha, index).sum().backward()
    assert_close(cells.grad[0, 0, :1], alpha[index == 0, 0].sum().double()[None], 1e-5)


def test_nothing_of_size_b_s_k_is_kept_for_the_backward_pass() -> None:
    case = make(n_images=3, n_cells=16, width=32, n_queries=50)
    query = case.query.requires_grad_()
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        additive_scores(case.projected, query, case.weight, case.image_index)
    assert sum(kept) <= case.projected.numel() + query.numel() + case.weight.numel()


def test_it_can_be_differentiated_once_and_the_plain_form_twice() -> None:
    case = make()
    query = case.query.requires_grad_()

    def twice() -> None:
        out = additive_scores(case.projected, query, case.weight, case.image_index)
        slope = torch.autograd.grad(out.square().sum(), query, create_graph=True)[0]
        slope.sum().backward()

    with pytest.raises(RuntimeError, match="once_differentiable"):
        twice()
    with kernels("plain"):
        twice()
    assert query.grad is not None


def test_the_plain_form_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    case = doubled(make(n_queries=11))
    results = []
    for chunk in (additive_attention._PLAIN_CHUNK, 3 * 7 * 20, 1):
        monkeypatch.setattr(additive_attention, "_PLAIN_CHUNK", chunk)
        with kernels("plain"):
            out = additive_scores(*scored(case))
        grads = torch.autograd.grad(out.square().sum(), (case.projected, case.query, case.weight))
        results.append((out, *grads))
    for result in results[1:]:
        for ours, whole in zip(result, results[0], strict=True):
            torch.testing.assert_close(ours, whole)


@pytest.mark.parametrize("mode", ["auto", "plain"])
def test_autocast_changes_nothing(mode) -> None:
    case = make()
    with kernels(mode):
        expected = additive_scores(*scored(case))
        with torch.autocast("cpu", torch.bfloat16):
            found = additive_scores(*scored(case))
            sums = attend(case.projected, case.alpha, case.image_index)
        assert torch.equal(found, expected)
        assert torch.equal(sums, attend(case.projected, case.alpha, case.image_index))


@pytest.mark.parametrize("wrong", [-1, 4, 2**40])
def test_an_image_out_of_range(wrong) -> None:
    case = make(n_images=4)
    case.image_index[2] = wrong
    with pytest.raises(IndexError, match=rf"image_index\[2\] is {wrong}: expected 0 to 3"):
        additive_scores(*scored(case))
    with pytest.raises(IndexError, match=rf"image_index\[2\] is {wrong}"):
        attend(case.projected, case.alpha, case.image_index)


def test_shapes_that_do_not_fit() -> None:
    case = make()
    with pytest.raises(ValueError, match=r"cells \(4, 7, 20\).*\(19,\)"):
        additive_scores(case.projected, case.query[:, 1:], case.weight, case.image_index)
    with pytest.raises(ValueError, match="10 queries"):
        additive_scores(case.projected, case.query[1:], case.weight, case.image_index)
    with pytest.raises(ValueError, match=r"cells \(4, 7, 20\).*\(6,\)"):
        attend(case.projected, case.alpha[:, 1:], case.image_index)
    with pytest.raises(ValueError, match="expected 'auto' or 'plain'"):
        set_kernels("fast")  # type: ignore[arg-type]


def test_few_steps_take_the_plain_form(monkeypatch: pytest.MonkeyPatch) -> None:
    case = make()
    query = case.query.requires_grad_()

    def name() -> str:
        out = additive_scores(case.projected, query, case.weight, case.image_index)
        return out.grad_fn.name()

    assert name() == "_ScoresBackward"
    monkeypatch.setattr(choice, "_FEW_STEPS", 11 * 7 * 20 + 1)
    assert name() != "_ScoresBackward"


@pytest.mark.parametrize("mode", ["auto", "plain"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_mean_cell_is_the_mean_in_float32_and_so_is_its_gradient(mode, dtype) -> None:
    cells = torch.randn(3, 49, 700).to(dtype).requires_grad_()
    with kernels(mode), torch.autocast("cpu", torch.bfloat16):
        mean = mean_cell(cells)
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, cells.double().mean(1).float(), rtol=1e-5, atol=1e-6)
    weight = torch.randn_like(mean)
    (gradient,) = torch.autograd.grad((mean * weight).sum(), cells)
    expected = (weight / 49)[:, None].expand_as(cells)
    torch.testing.assert_close(gradient, expected.to(dtype), rtol=1e-2, atol=1e-5)
