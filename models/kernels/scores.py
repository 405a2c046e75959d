"""Numba kernels of additive attention's scores, forward and backward.

With ``e = exp(2·projected)·exp(2·query)``, ``tanh(projected + query) = 1 - 2 / (1 + e)``: each
image and each query is exponentiated once, and a pair of them costs a product and a division. In
float32 this is within 2e-7 of the true value, and 1.6 times faster than a rational approximation.
Rows with numbers that are too large for it (or not finite), and all of float64, go through
``math.tanh``.
"""

import math

import numpy as np

from .compile import Array, decode, encode, exact_kernel, kernel

# exp(2·43)² overflows to infinity, which gives tanh = 1; exp(-2·43) is still a normal number.
_LARGEST = np.float32(43)
_LOG2_E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_C2, _C3 = np.float32(5.0000001201e-1), np.float32(1.6666665459e-1)
_C4, _C5 = np.float32(4.1665795894e-2), np.float32(8.3334519073e-3)
_C6, _C7 = np.float32(1.3981999507e-3), np.float32(1.9875691500e-4)
_ONE, _TWO, _FOUR, _HALF = np.float32(1), np.float32(2), np.float32(4), np.float32(0.5)


@exact_kernel
def exp_twice(row: Array, out: Array, bits: Array) -> bool:
    """``exp(2·row)`` (K,) float32, by Cephes' polynomial; False where a number is too large."""
    n_outside = 0
    for k in range(row.size):
        x = row[k]
        # Written so that NaN counts as outside.
        n_outside += not abs(x) <= _LARGEST
        y = x + x
        n = np.floor(y * _LOG2_E + _HALF)
        f = (y - n * _LN2_HIGH) - n * _LN2_LOW
        p = ((((_C7 * f + _C6) * f + _C5) * f + _C4) * f + _C3) * f + _C2
        out[k] = p * f * f + f + _ONE
        bits[k] = (np.int32(n) + np.int32(127)) << np.int32(23)  # 2^n
    power = bits.view(np.float32)
    for k in range(row.size):
        out[k] *= power[k]
    return n_outside == 0


@kernel
def largest_group(start: Array, first: int, last: int) -> int:
    """The most queries that one of the images ``first .. last - 1`` has."""
    largest = 0
    for u in range(first, last):
        largest = max(largest, start[u + 1] - start[u])
    return largest


@kernel
def score_images(
    projected: Array,  # (U, S, K), stored type
    query: Array,  # (B, K), float
    weight: Array,  # (K,), float
    order: Array,
    start: Array,
    first: int,
    last: int,
    exact: bool,
    scores: Array,  # (B, S), float: out
) -> None:
    """Scores of the images ``first .. last - 1``."""
    n_cells, width = projected.shape[1:]
    n_most = largest_group(start, first, last)
    exp_query = np.empty((n_most, width), np.float32)
    fast_query = np.zeros(n_most, np.bool_)
    cell, exp_cell = np.empty(width, query.dtype), np.empty(width, np.float32)
    bits = np.empty(width, np.int32)
    zero = np.zeros(1, query.dtype)[0]
    for u in range(first, last):
        group = order[start[u] : start[u + 1]]
        for j in range(group.size):
            fast_query[j] = not exact and exp_twice(query[group[j]], exp_query[j], bits)
        for s in range(n_cells if group.size else 0):
            stored = projected[u, s]
            for k in range(width):
                cell[k] = decode(stored[k])
            fast_cell = not exact and exp_twice(cell, exp_cell, bits)
            for j in range(group.size):
                total = zero
                if fast_cell and fast_query[j]:
                    factor = exp_query[j]
                    for k in range(width):
                        tanh = _ONE - _TWO / (_ONE + exp_cell[k] * factor[k])
                        total += weight[k] * tanh
                else:
                    row = query[group[j]]
                    for k in range(width):
                        total += weight[k] * math.tanh(cell[k] + row[k])
                scores[group[j], s] = total


@kernel
def score_gradients(
    projected: Array,  # (U, S, K), stored type
    query: Array,  # (B, K), float
    weight: Array,  # (K,), float
    order: Array,
    start: Array,
    first: int,
    last: int,
    exact: bool,
    grad_scores: Array,  # (B, S), float
    grad_projected: Array,  # (U, S, K), stored type or float: out; or (0, 0, 0): not wanted
    accumulate: bool,  # add to grad_projected instead of overwriting it
    grad_query: Array,  # (B, K), float: out
    grad_weight: Array,  # (U, K), float: out, each image's share
) -> None:
    """Gradients of the scores of the images ``first .. last - 1``."""
    n_cells, width = projected.shape[1:]
    n_most = largest_group(start, first, last)
    exp_query = np.empty((n_most, width), np.float32)
    fast_query = np.zeros(n_most, np.bool_)
    cell, exp_cell = np.empty(width, query.dtype), np.empty(width, np.float32)
    bits = np.empty(width, np.int32)
    sum_cell = np.empty(width, query.dtype)
    sum_query = np.empty((n_most, width), query.dtype)
    for u in range(first, last):
        group = order[start[u] : start[u + 1]]
        share = grad_weight[u]
        share[:] = 0
        sum_query[: group.size] = 0
        for j in range(group.size):
            fast_query[j] = not exact and exp_twice(query[group[j]], exp_query[j], bits)
        for s in range(n_cells):
            stored = projected[u, s]
            for k in range(width):
                cell[k] = decode(stored[k])
            fast_cell = not exact and exp_twice(cell, exp_cell, bits)
            sum_cell[:] = 0
            for j in range(group.size):
                grad = grad_scores[group[j], s]
                slope_sum = sum_query[j]
                if fast_cell and fast_query[j]:
                    factor = exp_query[j]
                    for k in range(width):
                        # tanh = 1 - 2r and 1 - tanh² = 4r(1 - r)
                        r = _ONE / (_ONE + exp_cell[k] * factor[k])
                        grad_r = grad * r
                        slope = _FOUR * (grad_r - grad_r * r)
                        sum_cell[k] += slope
                        slope_sum[k] += slope
                        share[k] += grad - _TWO * grad_r
                else:
                    row = query[group[j]]
                    for k in range(width):
                        tanh = math.tanh(cell[k] + row[k])
                        slope = grad - grad * tanh * tanh
                        sum_cell[k] += slope
                        slope_sum[k] += slope
                        share[k] += grad * tanh
            if grad_projected.size:
                out = grad_projected[u, s]
                if accumulate:
                    for k in range(width):
                        out[k] = encode(decode(out[k]) + weight[k] * sum_cell[k], out[k])
                else:
                    for k in range(width):
                        out[k] = encode(weight[k] * sum_cell[k], out[k])
        for j in range(group.size):
            for k in range(width):
                grad_query[group[j], k] = weight[k] * sum_query[j, k]
