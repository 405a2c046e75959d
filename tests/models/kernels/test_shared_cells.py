import pytest
import torch
from frostgrid.models.kernels.shared_cells import SharedCells
from frostgrid.models.layers.additive_attention import additive_scores, attend, kernels
from reference.attention_cases import assert_close, make
from torch import Tensor

pytestmark = pytest.mark.usefixtures("smallest_to_kernels")


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
