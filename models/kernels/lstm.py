"""An LSTM's step as one differentiable function on the CPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .cpu import _array as as_array
from .lstm_rows import step_gradients, step_rows
from .threads import even_pieces, run_pieces

# Below so many a second thread costs more than it saves.
_SERIAL_GATES = 1 << 19


def lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """``models.recurrent.lstm_step`` by Numba's kernels."""
    hidden, after = _Step.apply(gates, cell)  # type: ignore[no-untyped-call, unused-ignore]
    return hidden, after


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        gates, cell = gates.contiguous(), cell.contiguous()
        opened, after = torch.empty(gates.shape), torch.empty_like(cell)
        hidden = torch.empty_like(cell, dtype=gates.dtype)
        arrays = [as_array(x) for x in (gates, cell, opened, after, hidden)]
        _run(lambda first, last: step_rows(*arrays[:2], first, last, *arrays[2:]), gates)
        ctx.save_for_backward(opened, cell, after)
        return hidden, after

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator, unused-ignore]
    def backward(ctx: Any, grad_hidden: Tensor, grad_after: Tensor) -> tuple[Tensor, Tensor]:
        opened, cell, after = ctx.saved_tensors
        grad_gates = torch.empty_like(opened, dtype=grad_hidden.dtype)
        grad_cell = torch.empty_like(cell)
        given = (opened, cell, after, grad_hidden.contiguous(), grad_after.contiguous())
        arrays = [as_array(x) for x in (*given, grad_gates, grad_cell)]
        _run(lambda first, last: step_gradients(*arrays[:5], first, last, *arrays[5:]), opened)
        return grad_gates, grad_cell


def _run(task: Callable[[int, int], None], gates: Tensor) -> None:
    n_threads = torch.get_num_threads() if gates.numel() > _SERIAL_GATES else 1
    run_pieces(task, even_pieces(len(gates), n_threads), n_threads)
