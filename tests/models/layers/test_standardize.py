import pytest
import torch
from frostgrid.models.kernels.choice import kernels
from frostgrid.models.layers.cells import standardize
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

pytestmark = pytest.mark.usefixtures("smallest_to_kernels", "on_two_threads")


def stored(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=generator) * 3 + 1).to(dtype)


def exactly(
    cells: Tensor,
    mean: Tensor,
    inverse_deviation: Tensor,
    unit: bool = True,
) -> Tensor:
    x = (cells.double() - mean) * inverse_deviation
    if not unit:
        return x
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


@pytest.mark.parametrize("mode", ["auto", "plain"])
@pytest.mark.parametrize("to", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.bfloat16])
@settings(max_examples=10, deadline=None)
@given(
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=2).map(tuple),
    width=st.integers(1, 40),
    unit=st.booleans(),
)
def test_equals_the_formula(dtype, to, mode, shape, width, unit) -> None:
    cells = stored((*shape, width), dtype)
    mean, inverse_deviation = stored((width,), torch.float32, 1), stored((width,), torch.float32, 2)
    with kernels(mode):
        found = standardize(cells, mean, inverse_deviation, to, unit)
    expected = exactly(cells, mean, inverse_deviation, unit)
    tolerance = 2e-5 if to == torch.float32 else 2**-7
    assert found.dtype == to
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)


def test_a_row_of_nothing_and_rows_that_are_no_numbers() -> None:
    cells = torch.zeros(4, 8, dtype=torch.float16)
    cells[1, 2], cells[2, 3] = float("nan"), float("inf")
    for mode in ("auto", "plain"):
        with kernels(mode):
            out = standardize(cells, torch.zeros(8), torch.ones(8))
        assert (out[[0, 3]] == 0).all()
        assert out[1].isnan().all()
        assert out[2, 3].isnan()


def test_memory_that_is_not_contiguous() -> None:
    cells = stored((6, 5, 16), torch.float16).transpose(0, 1)[:, ::2]
    mean, inverse_deviation = torch.ones(32)[::2], torch.ones(16)
    found = standardize(cells, mean, inverse_deviation)
    assert torch.equal(found, standardize(cells.contiguous(), mean, inverse_deviation))


def test_what_learns_keeps_its_gradient() -> None:
    cells = stored((3, 8), torch.float32).requires_grad_()
    mean, inverse_deviation = torch.zeros(8), torch.ones(8)
    standardize(cells, mean, inverse_deviation).square().mul(torch.arange(8)).sum().backward()
    assert cells.grad.abs().max() > 0
    with torch.no_grad():
        assert not standardize(cells, mean, inverse_deviation).requires_grad
