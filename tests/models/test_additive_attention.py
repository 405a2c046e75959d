import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import astuple, dataclass

import numpy as np
import pytest
import torch
from frostgrid.models import additive_attention
from frostgrid.models.additive_attention import (
    additive_scores,
    attend,
    kernels,
    mean_cell,
    set_kernels,
)
from frostgrid.models.kernels import choice
from frostgrid.models.kernels.by_image import group_by_image
from frostgrid.models.shared_cells import SharedCells
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.additive_attention import scores as reference_scores
from reference.additive_attention import weighted_sums
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


@dataclass
class Case:
    projected: Tensor
    query: Tensor
    weight: Tensor
    alpha: Tensor
    image_index: Tensor


def make(
    n_images: int = 4,
    n_cells: int = 7,
    width: int = 20,
    n_queries: int = 11,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Case:
    generator = torch.Generator().manual_seed(seed)
    other = torch.promote_types(dtype, torch.float32)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Case(
        normal(n_images, n_cells, width).to(dtype),
        normal(n_queries, width).to(other),
        normal(width).to(other),
        normal(n_queries, n_cells).softmax(1).to(other),
        torch.randint(n_images, (n_queries,), generator=generator),
    )


def doubled(case: Case) -> Case:
    """The same numbers in float64, to be differentiated."""
    *floats, image_index = astuple(case)
    return Case(*(x.detach().double().requires_grad_() for x in floats), image_index)


def assert_close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    scale = expected.abs().max().item() if expected.numel() else 0.0
    difference = (found.double() - expected).abs().max().item() if expected.numel() else 0.0
    # 1 - tanh² of a saturated tanh keeps the error of tanh, 2e-7, however small it is itself.
    assert difference <= tolerance * max(scale, 0.1)


pytestmark = pytest.mark.usefixtures("smallest_to_kernels")


@pytest.fixture
def threads() -> Iterator[None]:
    """Two threads, however small the problem."""
    from frostgrid.models.kernels import cpu

    before = torch.get_num_threads(), cpu._SERIAL_STEPS
    torch.set_num_threads(2)
    cpu._SERIAL_STEPS = 0
    yield
    torch.set_num_threads(before[0])
    cpu._SERIAL_STEPS = before[1]


@pytest.mark.parametrize("mode", ["auto", "plain"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@settings(max_examples=30, deadline=None)
@given(sizes=SIZES)
def test_forward_equals_the_written_out_form(mode, dtype, sizes) -> None:
    case = make(dtype=dtype, **sizes)
    cells = case.projected.double().numpy()
    index = case.image_index.numpy()
    with kernels(mode):
        scores = additive_scores(case.projected, case.query, case.weight, case.image_index)
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
    scores = additive_scores(case.projected, case.query, case.weight, case.image_index)
    sums = attend(case.projected, case.alpha, case.image_index)
    to_scores, to_sums = torch.randn_like(scores), torch.randn_like(sums)
    found = torch.autograd.grad(scores, (case.projected, case.query, case.weight), to_scores)
    found += torch.autograd.grad(sums, (case.projected, case.alpha), to_sums)
    with kernels("plain"):
        scores = additive_scores(exact.projected, exact.query, exact.weight, exact.image_index)
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

    def looked_at_twice(cells: Tensor, query: Tensor, weight: Tensor, alpha: Tensor) -> Tensor:
        shared = SharedCells(cells)
        first = attend(shared, alpha, index)
        scores = additive_scores(shared, query + first, weight, index)
        return attend(shared, scores.softmax(1), index)

    inputs = (case.projected, case.query, case.weight)
    assert torch.autograd.gradcheck(lambda *x: additive_scores(*x, index), inputs)
    assert torch.autograd.gradcheck(lambda *x: attend(*x, index), (case.projected, case.alpha))
    assert torch.autograd.gradcheck(looked_at_twice, (*inputs, case.alpha))


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
    scored = additive_scores(case.projected, case.query, case.weight, case.image_index)
    with kernels("plain"):
        plain = additive_scores(case.projected, case.query, case.weight, case.image_index)
    assert_close(scored, plain.double(), 1e-5)


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


def test_all_half_precision_numbers_are_read_and_written_as_pytorch_does() -> None:
    bits = torch.arange(2**16, dtype=torch.int32).to(torch.uint16).view(-1, 1, 1)
    one, index = torch.ones(2**16, 1), torch.arange(2**16)
    for dtype in (torch.bfloat16, torch.float16):
        numbers = bits.view(dtype)
        read = attend(numbers, one, index).flatten()
        torch.testing.assert_close(read, numbers.flatten().float(), rtol=0, atol=0, equal_nan=True)
    cells = torch.zeros(4096, 1, 1, dtype=torch.bfloat16, requires_grad=True)
    gradient = torch.randn(4096, 1) * 10.0 ** torch.randint(-30, 30, (4096, 1))
    attend(cells, torch.ones(4096, 1), torch.arange(4096)).backward(gradient)
    assert torch.equal(cells.grad.flatten(), gradient.flatten().bfloat16())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shared_cells_get_the_gradient_of_all_calls(dtype) -> None:
    case = make(dtype=dtype, n_queries=9, seed=3)

    def steps(cells: Tensor | SharedCells) -> Tensor:
        total = torch.zeros(())
        query = case.query
        for n_left in (9, 6, 2):  # captions end one after the other
            index = case.image_index[:n_left]
            scores = additive_scores(cells, query[:n_left], case.weight, index)
            total = total + attend(cells, scores.softmax(1), index).square().sum()
            query = query * 0.5
        return total

    cells = case.projected.clone().requires_grad_()
    steps(SharedCells(cells)).backward()
    expected = case.projected.double().requires_grad_()
    with kernels("plain"):
        case.query, case.weight = case.query.double(), case.weight.double()
        steps(expected).backward()
        plain = case.projected.clone().requires_grad_()
        case.query, case.weight = case.query.float(), case.weight.float()
        steps(SharedCells(plain)).backward()
    tolerance = 2**-8 if dtype == torch.bfloat16 else 1e-5
    assert_close(cells.grad, expected.grad, tolerance)
    assert_close(plain.grad, expected.grad, 4 * tolerance)


def test_a_pass_that_stops_before_shared_cells_leaves_nothing_to_the_next() -> None:
    case = make()
    cells = case.projected.clone().requires_grad_()
    query = case.query.clone().requires_grad_()
    shared = SharedCells(cells)
    out = additive_scores(shared, query, case.weight, case.image_index).sum()
    once = torch.autograd.grad(out, cells, retain_graph=True)[0]
    torch.autograd.grad(out, query, retain_graph=True)
    again = torch.autograd.grad(out, cells)[0]
    assert torch.equal(once, again)


def test_frozen_shared_cells() -> None:
    case = make()
    shared = SharedCells(case.projected)
    query = case.query.clone().requires_grad_()
    additive_scores(shared, query, case.weight, case.image_index).sum().backward()
    assert query.grad is not None
    with torch.no_grad():
        attend(shared, case.alpha, case.image_index)


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
        expected = additive_scores(exact.projected, exact.query, exact.weight, exact.image_index)
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
    expected = additive_scores(case.projected, case.query, case.weight, case.image_index)
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


def both_ways(inputs: list[Tensor], image_index: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Scores and gradients by the kernels beside those of the plain form."""
    results = []
    for mode in ("auto", "plain"):
        leaves = [x.detach().clone().requires_grad_() for x in inputs]
        with kernels(mode):
            out = additive_scores(*leaves, image_index)
        results.append((out, *torch.autograd.grad(out.sum(), leaves)))
    return zip(*results, strict=True)


@pytest.mark.parametrize("large", [30.0, 43.5, 300.0, 1e30, float("inf"), float("nan")])
def test_large_numbers_and_numbers_that_are_none(large) -> None:
    case = make(width=6, n_queries=5, n_images=2)
    case.projected[0, 1, 2] = large
    case.query[3, 4] = -large
    case.query[2, 2] = -30.0  # beside 30: zero; beside 43.5: tanh(13.5)
    inputs = [case.projected, case.query, case.weight]
    for ours, plain in both_ways(inputs, case.image_index):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=2e-6, equal_nan=True)


@pytest.mark.parametrize("n_cells", range(1, 10))
def test_a_cell_that_is_not_a_number_stays_alone(n_cells) -> None:
    case = make(n_images=3, n_cells=n_cells, width=17, seed=n_cells)
    for s in range(n_cells):
        projected = case.projected.clone()
        projected[1, s, 5] = float("nan")
        projected[1, (s + 1) % n_cells, 16] = 100.0
        inputs = [projected, case.query, case.weight]
        for ours, plain in both_ways(inputs, case.image_index):
            torch.testing.assert_close(ours, plain, rtol=1e-5, atol=2e-6, equal_nan=True)


@pytest.mark.parametrize("width", [1, 16, 33])
def test_numbers_at_the_largest_that_is_exponentiated(width) -> None:
    limit = torch.tensor(43.0)
    over = torch.nextafter(limit, torch.tensor(100.0))
    edges = torch.stack([limit, -limit, over, -over, torch.tensor(0.0), limit - 0.5])
    projected = edges.repeat(2)[:, None].expand(2, -1, width) + torch.zeros(2, 12, width)
    projected[1, :, 0] = edges.repeat_interleave(2)
    query = edges[:, None].repeat(1, width)
    inputs = [projected, query, torch.linspace(0.5, 1, width)]
    index = torch.tensor([0, 1, 0, 1, 1, 0])
    for ours, plain in both_ways(inputs, index):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=2e-6 * width)


@pytest.mark.parametrize("large", [1.0, 50.0])
def test_large_queries_and_small_ones_of_the_same_image(large) -> None:
    case = make(n_images=1, n_cells=6, width=19, n_queries=7)
    case.query[1::2] *= large
    inputs = [case.projected, case.query, case.weight]
    for ours, plain in both_ways(inputs, case.image_index):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)


def test_numbers_too_small_to_be_normal() -> None:
    case = make(width=5)
    with torch.no_grad():
        out = additive_scores(
            case.projected * 1e-40, case.query * 1e-40, case.weight, case.image_index
        )
    assert out.abs().max() < 1e-6


def test_tanh_is_within_2e_7() -> None:
    x = torch.linspace(-25, 25, 20001)
    left = torch.randn(20001, generator=torch.Generator().manual_seed(0)) * 5
    index = torch.arange(20001)
    one = torch.ones(1)
    found = additive_scores((x - left)[:, None, None], left[:, None], one, index)[:, 0]
    exact = torch.tanh((x - left).double() + left.double())
    assert (found - exact).abs().max() < 2e-7


@pytest.mark.parametrize("index", ["sorted", "shuffled", "one image"])
def test_the_same_bits_on_any_number_of_threads(threads, index) -> None:
    case = make(n_images=13, n_cells=20, width=70, n_queries=60, seed=5)
    if index == "sorted":
        case.image_index = case.image_index.sort()[0]
    if index == "one image":
        case.image_index = torch.full_like(case.image_index, 4)
    results = []
    for n_threads in (1, 2, 3, 2):
        torch.set_num_threads(n_threads)
        leaves = [
            x.clone().requires_grad_()
            for x in (case.projected, case.query, case.weight, case.alpha)
        ]
        scores = additive_scores(*leaves[:3], case.image_index)
        sums = attend(leaves[0], leaves[3] + scores, case.image_index)
        sums.square().sum().backward()
        results.append([scores.detach(), sums.detach(), *(leaf.grad for leaf in leaves)])
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


def test_several_python_threads_at_once(threads) -> None:
    cases = [make(n_images=9, n_cells=20, width=50, n_queries=40, seed=i) for i in range(4)]
    expected = [additive_scores(*_scored(case)) for case in cases]
    wrong: list[int] = []

    def repeat(i: int) -> None:
        for _ in range(30):
            if not torch.equal(additive_scores(*_scored(cases[i])), expected[i]):
                wrong.append(i)

    callers = [threading.Thread(target=repeat, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert not any(caller.is_alive() for caller in callers)
    assert not wrong


def _scored(case: Case) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return case.projected, case.query, case.weight, case.image_index


FORK = """
import os, sys, warnings
import frostgrid.models.additive_attention as attention
assert "numba" not in sys.modules, "numba is imported before it is needed"
import torch
from frostgrid.models.kernels import choice, cpu
warnings.simplefilter("ignore")  # Python 3.12 warns of any fork beside threads
torch.set_num_threads(2)
cpu._SERIAL_STEPS = choice._FEW_STEPS = 0
torch.manual_seed(0)
case = torch.randn(9, 8, 30), torch.randn(20, 30), torch.randn(30), torch.arange(20) % 9
before = attention.additive_scores(*case)
child = os.fork()
if child == 0:
    same = torch.equal(attention.additive_scores(*case), before)
    os._exit(0 if same else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="the system has no fork")
def test_a_forked_child_computes_and_the_import_is_light() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], timeout=120, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


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
            out = additive_scores(case.projected, case.query, case.weight, case.image_index)
        grads = torch.autograd.grad(out.square().sum(), (case.projected, case.query, case.weight))
        results.append((out, *grads))
    for result in results[1:]:
        for ours, whole in zip(result, results[0], strict=True):
            torch.testing.assert_close(ours, whole)


@pytest.mark.parametrize("mode", ["auto", "plain"])
def test_autocast_changes_nothing(mode) -> None:
    case = make()
    with kernels(mode):
        expected = additive_scores(case.projected, case.query, case.weight, case.image_index)
        with torch.autocast("cpu", torch.bfloat16):
            found = additive_scores(case.projected, case.query, case.weight, case.image_index)
            sums = attend(case.projected, case.alpha, case.image_index)
        assert torch.equal(found, expected)
        assert torch.equal(sums, attend(case.projected, case.alpha, case.image_index))


@pytest.mark.parametrize("wrong", [-1, 4, 2**40])
def test_an_image_that_is_not_there(wrong) -> None:
    case = make(n_images=4)
    case.image_index[2] = wrong
    with pytest.raises(IndexError, match=rf"image_index\[2\] is {wrong}: expected 0 to 3"):
        additive_scores(case.projected, case.query, case.weight, case.image_index)
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


@settings(max_examples=100, deadline=None)
@given(index=st.lists(st.integers(0, 6), max_size=30), n_threads=st.integers(1, 5))
def test_pieces_cover_every_image_once(index, n_threads) -> None:
    by_image = group_by_image(np.array(index, np.int64), 7)
    assert by_image.order.tolist() == sorted(range(len(index)), key=lambda b: index[b])
    assert by_image.start.tolist() == [sum(u < v for u in index) for v in range(8)]
    images = [u for first, last in by_image.pieces(n_threads) for u in range(first, last)]
    assert images == list(range(7))


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
