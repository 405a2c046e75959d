"""Numba kernels of an LSTM step's gates, forward and backward, each in one sweep."""

import numpy as np

from .compile import Array, decode, encode, exact_kernel, kernel
from .exponential import exp

_LARGEST = np.float32(87)  # exp(-87) is still a normal number
_ONE, _TWO = np.float32(1), np.float32(2)


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
