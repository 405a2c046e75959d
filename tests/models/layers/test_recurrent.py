import pytest
import torch
from frostgrid.models.layers.additive_attention import kernels
from frostgrid.models.layers.recurrent import lstm_step

LEAST = 1 << 15  # numbers that the kernel is worth it for


def step_both_ways(gates, cell, grads):
    """Outputs and gradients of a step."""
    gates, cell = gates.clone().requires_grad_(), cell.clone().requires_grad_()
    out = lstm_step(gates, cell)
    return *out, *torch.autograd.grad(out, (gates, cell), grads)


@pytest.mark.parametrize("width", [1, 7, 16, 129])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_sweep_equals_plain_operations(dtype, width):
    torch.manual_seed(0)
    n = LEAST // (4 * width) + 1
    gates, cell = (3 * torch.randn(n, 4 * width)).to(dtype), torch.randn(n, width)
    grads = torch.randn(n, width).to(dtype), torch.randn(n, width)
    fused = step_both_ways(gates, cell, grads)
    with kernels("plain"):
        plain = step_both_ways(gates.float(), cell, tuple(g.float() for g in grads))
    rounding = 0 if dtype == torch.float32 else 2**-8
    for ours, theirs in zip(fused, plain, strict=True):
        torch.testing.assert_close(
            ours.float(), theirs, rtol=1e-5 + rounding, atol=2e-6 + rounding * 1e-2
        )
    assert [x.dtype for x in fused] == [dtype, torch.float32, dtype, torch.float32]


def test_several_threads_give_the_same_bits(on_two_threads, monkeypatch):
    assert torch.get_num_threads() == 2
    torch.manual_seed(0)
    gates, cell = torch.randn(600, 2048), torch.randn(600, 512)
    grads = torch.randn(600, 512), torch.randn(600, 512)
    several = step_both_ways(gates, cell, grads)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    for ours, theirs in zip(several, step_both_ways(gates, cell, grads), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("value", [100.0, -100.0, 1e30, -1e30, torch.inf, -torch.inf, torch.nan])
def test_extreme_gates(value):
    gates, cell = torch.zeros(1, LEAST), torch.full((1, LEAST // 4), 0.5)
    gates[0, ::3] = value
    grads = torch.ones_like(cell), torch.ones_like(cell)
    fused = step_both_ways(gates, cell, grads)
    with kernels("plain"):
        plain = step_both_ways(gates, cell, grads)
    for ours, theirs in zip(fused, plain, strict=True):
        torch.testing.assert_close(ours, theirs, equal_nan=True, rtol=1e-5, atol=1e-6)


def test_no_rows():
    hidden, cell = lstm_step(torch.zeros(0, 8), torch.zeros(0, 2))
    assert hidden.shape == cell.shape == (0, 2)


@pytest.mark.parametrize("cell", [(1, 2), (3, 3), (3, 2, 1), (6,)])
def test_shapes_that_do_not_fit(cell):
    with pytest.raises(ValueError, match="Shapes do not fit: gates"):
        lstm_step(torch.zeros(3, 8), torch.zeros(cell))
