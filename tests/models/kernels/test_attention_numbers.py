"""Additive attention of numbers that are large, tiny, of half precision or none."""

from collections.abc import Iterator

import pytest
import torch
from frostgrid.models.layers.additive_attention import additive_scores, attend, kernels
from reference.attention_cases import make
from torch import Tensor

pytestmark = pytest.mark.usefixtures("smallest_to_kernels")


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
