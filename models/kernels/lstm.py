"""An LSTM step on the CPU as one differentiable function: one sweep forward, one backward."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .compile import Array, array_of, decode, encode, exact_kernel, kernel
from .exponential import exp
from .threads import run_rows

_LARGEST = np.float32(87)  # exp(-87) is still a normal number
_ONE, _TWO = np.float32(1), np.float32(2)


def lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """See ``models.layers.recurrent.lstm_step``."""
    result: tuple[Tensor, Tensor] = _Step.apply(  # type: ignore[no-untyped-call, unused-ignore]
        gates, cell
    )
    return result


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        gates, cell = gates.contiguous(), cell.contiguous()
        opened = torch.empty_like(gates, dtype=torch.float32)
        after = torch.empty_like(cell)
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


@exact_kernel
def sigmoid(x: np.float32) -> np.float32:
    """The logistic function, within 2e-7."""
    x = -x
    x = _LARGEST if x > _LARGEST else x
    x = -_LARGEST if x < -_LARGEST else x
    return _ONE / (_ONE + exp(x))


@exact_kernel
def tanh(x: np.float32) -> np.float32:
    """The hyperbolic tangent, within 2e-7."""
    return _TWO * sigmoid(_TWO * x) - _ONE


@kernel
def step_rows(
    gates: Array,  # (B, 4H), stored type: input, forget, candidate, output
    cell: Array,  # (B, H) float32
    first: int,
    last: int,
    opened: Array,  # (B, 4H) float32: out, the gates after their non-linearities
    next_cell: Array,  # (B, H) float32: out
    hidden: Array,  # (B, H), stored type: out
) -> None:
    """The rows ``first .. last - 1`` of a step."""
    width = cell.shape[1]
    for b in range(first, last):
        entry, forget = gates[b, :width], gates[b, width : 2 * width]
        candidate, out = gates[b, 2 * width : 3 * width], gates[b, 3 * width :]
        i, f = opened[b, :width], opened[b, width : 2 * width]
        g, o = opened[b, 2 * width : 3 * width], opened[b, 3 * width :]
        before, after, state = cell[b], next_cell[b], hidden[b]
        for k in range(width):
            i[k] = sigmoid(decode(entry[k]))
            f[k] = sigmoid(decode(forget[k]))
        for k in range(width):
            g[k] = tanh(decode(candidate[k]))
            o[k] = sigmoid(decode(out[k]))
        for k in range(width):
            after[k] = f[k] * before[k] + i[k] * g[k]
            state[k] = encode(o[k] * tanh(after[k]), state[k])


@kernel
def step_gradients(
    opened: Array,  # (B, 4H) float32
    cell: Array,  # (B, H) float32, before the step
    next_cell: Array,  # (B, H) float32, after it
    grad_hidden: Array,  # (B, H), stored type
    grad_next: Array,  # (B, H) float32
    first: int,
    last: int,
    grad_gates: Array,  # (B, 4H), stored type: out
    grad_cell: Array,  # (B, H) float32: out
) -> None:
    """The gradients of the rows ``first .. last - 1``."""
    width = cell.shape[1]
    for b in range(first, last):
        i, f = opened[b, :width], opened[b, width : 2 * width]
        g, o = opened[b, 2 * width : 3 * width], opened[b, 3 * width :]
        to_i, to_f = grad_gates[b, :width], grad_gates[b, width : 2 * width]
        to_g, to_o = grad_gates[b, 2 * width : 3 * width], grad_gates[b, 3 * width :]
        before, after, to_cell = cell[b], next_cell[b], grad_cell[b]
        from_hidden, from_next = grad_hidden[b], grad_next[b]
        for k in range(width):
            bent = tanh(after[k])
            grad = decode(from_hidden[k])
            slope = from_next[k] + grad * o[k] * (_ONE - bent * bent)
            to_i[k] = encode(slope * g[k] * i[k] * (_ONE - i[k]), to_i[k])
            to_f[k] = encode(slope * before[k] * f[k] * (_ONE - f[k]), to_f[k])
            to_g[k] = encode(slope * i[k] * (_ONE - g[k] * g[k]), to_g[k])
            to_o[k] = encode(grad * bent * o[k] * (_ONE - o[k]), to_o[k])
            to_cell[k] = slope * f[k]


def cuda_lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`lstm_step` by the operation behind ``nn.LSTMCell`` on CUDA.

    It adds two sets of gates, the second of which is zeros here.
    """
    fused = torch.ops.aten._thnn_fused_lstm_cell
    with torch.autocast("cuda", enabled=False):
        hidden, after, _ = fused(gates.to(cell.dtype), cell.new_zeros(gates.shape), cell)
    return hidden.to(gates.dtype), after
