"""An LSTM's step as one differentiable function on the CPU."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .cpu import array_of, run_rows
from .lstm import step_gradients, step_rows


def lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """``models.recurrent.lstm_step`` by Numba's kernels."""
    result: tuple[Tensor, Tensor] = _Step.apply(  # type: ignore[no-untyped-call, unused-ignore]
        gates, cell
    )
    return result


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        gates, cell = gates.contiguous(), cell.contiguous()
        opened, after = torch.empty(gates.shape), torch.empty_like(cell)
        hidden = torch.empty_like(cell, dtype=gates.dtype)
        given = array_of(gates), array_of(cell)
        out = array_of(opened), array_of(after), array_of(hidden)

        def task(first: int, last: int) -> None:
            step_rows(*given, first, last, *out)

        run_rows(task, len(gates), gates.numel())
        ctx.save_for_backward(opened, cell, after)
        return hidden, after

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad_hidden: Tensor, grad_after: Tensor) -> tuple[Tensor, Tensor]:
        opened, cell, after = ctx.saved_tensors
        grad_gates = torch.empty_like(opened, dtype=grad_hidden.dtype)
        grad_cell = torch.empty_like(cell)
        step = array_of(opened), array_of(cell), array_of(after)
        grads = array_of(grad_hidden.contiguous()), array_of(grad_after.contiguous())
        out = array_of(grad_gates), array_of(grad_cell)

        def task(first: int, last: int) -> None:
            step_gradients(*step, *grads, first, last, *out)

        run_rows(task, len(opened), opened.numel())
        return grad_gates, grad_cell
