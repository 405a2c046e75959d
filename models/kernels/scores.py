"""Numba kernels of additive attention's scores, forward and backward.

With ``e = exp(2·projected)·exp(2·query)`` and ``r = 1 / (1 + e)``, ``tanh(projected + query)`` is
``1 - 2r``: each image and each query is exponentiated once, and a pair of them costs a product and
a division. In float32 this is within 2e-7 of the true value, and 1.6 times faster than a rational
approximation. Rows with numbers too large for it (or not finite), and all of float64, use
``math.tanh``.

Four cells at a time share what is read of a query and what is added to its sums.
"""

import math

import numpy as np

from .compile import Array, decode, encode, exact_kernel, kernel
from .exponential import exp

_CELLS = 4
# exp(2·43)² overflows to infinity, which gives tanh = 1; exp(-2·43) is still a normal number.
_LARGEST_BITS = np.float32(43).view(np.int32)
_MAGNITUDE = np.int32(0x7FFFFFFF)
_ONE, _TWO, _FOUR = np.float32(1), np.float32(2), np.float32(4)
_HALF, _QUARTER = np.float32(0.5), np.float32(0.25)


@exact_kernel
def exp_twice(rows: Array, r: int, out: Array, j: int) -> bool:
    """``exp(2·rows[r])`` to ``out[j]``; False if one is too large."""
    largest = np.int32(0)
    for k in range(rows.shape[1]):
        x = np.float32(decode(rows[r, k]))
        # As integers, magnitudes are in the same order, and NaN is larger than infinity.
        magnitude = np.int32(np.float32(x).view(np.int32) & _MAGNITUDE)
        largest = max(largest, magnitude)
        out[j, k] = exp(x + x)
    return bool(largest <= _LARGEST_BITS)


@kernel
def largest_group(start: Array, first: int, last: int) -> int:
    """The most queries that one of the images ``first .. last - 1`` has."""
    largest = 0
    for u in range(first, last):
        largest = max(largest, start[u + 1] - start[u])
    return largest


@kernel
def aligned_rows(n_rows: int, like: Array) -> Array:
    """Zeros (n_rows, K or a little more), each row from the beginning of a cache line.

    A row across line boundaries would be read twice there.
    """
    line = 64 // like.itemsize
    width = (-(-like.size // line) | 1) * line
    memory = np.zeros(n_rows * width + line, like.dtype)
    first = (-memory.ctypes.data % 64) // like.itemsize
    return memory[first : first + n_rows * width].reshape(n_rows, width)


# Below, rows are given by their indices: making a view of each would take a tenth of the time.


@kernel
def exp_cells(cells: Array, s: int, out: Array) -> bool:
    """``exp_twice`` of the cells ``s .. s + 3`` of (S, K), the last one repeated at the end."""
    fast = True
    for i in range(_CELLS):
        # No short cut: every row is written.
        fast &= exp_twice(cells, min(s + i, len(cells) - 1), out, i)
    return fast


@kernel
def fast_scores(
    exp_cell: Array,  # (4, K)
    exp_query: Array,  # (queries, K)
    j: int,
    weight: Array,  # (K,)
    scores: Array,  # (B, S): out
    b: int,
    s: int,
) -> None:
    """Scores of the query ``b``, which is ``j`` of its image, for the cells ``s .. s + 3``."""
    t0 = t1 = t2 = t3 = np.float32(0)
    for k in range(weight.size):
        # tanh / 2 = 1/2 - r
        q, w = exp_query[j, k], weight[k]
        t0 += w * (_HALF - _ONE / (_ONE + exp_cell[0, k] * q))
        t1 += w * (_HALF - _ONE / (_ONE + exp_cell[1, k] * q))
        t2 += w * (_HALF - _ONE / (_ONE + exp_cell[2, k] * q))
        t3 += w * (_HALF - _ONE / (_ONE + exp_cell[3, k] * q))
    n_here = scores.shape[1] - s
    scores[b, s] = _TWO * t0
    if n_here > 1:
        scores[b, s + 1] = _TWO * t1
    if n_here > 2:
        scores[b, s + 2] = _TWO * t2
    if n_here > 3:
        scores[b, s + 3] = _TWO * t3


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
    like = np.empty(width, np.float32)
    exp_query, exp_cell = aligned_rows(n_most, like), aligned_rows(_CELLS, like)
    fast_query = np.zeros(n_most, np.bool_)
    zero = np.zeros(1, query.dtype)[0]
    for u in range(first, last):
        cells = projected[u]
        group = order[start[u] : start[u + 1]]
        for j in range(group.size):
            fast_query[j] = not exact and exp_twice(query, group[j], exp_query, j)
        for s in range(0, n_cells if group.size else 0, _CELLS):
            fast_cells = not exact and exp_cells(cells, s, exp_cell)
            for j in range(group.size):
                b = group[j]
                if fast_cells and fast_query[j]:
                    fast_scores(exp_cell, exp_query, j, weight, scores, b, s)
                    continue
                for i in range(s, min(s + _CELLS, n_cells)):
                    total = zero
                    for k in range(width):
                        total += weight[k] * math.tanh(decode(cells[i, k]) + query[b, k])
                    scores[b, i] = total


@kernel
def fast_gradients(
    exp_cell: Array,  # (4, K)
    exp_query: Array,  # (queries, K)
    j: int,
    grad_scores: Array,  # (B, S)
    b: int,
    s: int,
    sum_cell: Array,  # (4, K): added to
    sum_query: Array,  # (queries, K): added to
    share: Array,  # (1, K): added to
    width: int,  # K
) -> None:
    """Add what four cells and one query give: quarters of the slopes, and halves of the shares."""
    n_here = grad_scores.shape[1] - s
    g0 = grad_scores[b, s]
    g1 = grad_scores[b, s + 1] if n_here > 1 else np.float32(0)
    g2 = grad_scores[b, s + 2] if n_here > 2 else np.float32(0)
    g3 = grad_scores[b, s + 3] if n_here > 3 else np.float32(0)
    half = _HALF * ((g0 + g1) + (g2 + g3))
    for k in range(width):
        # tanh / 2 = 1/2 - r and (1 - tanh²) / 4 = r - r²
        q = exp_query[j, k]
        r0, r1 = _ONE / (_ONE + exp_cell[0, k] * q), _ONE / (_ONE + exp_cell[1, k] * q)
        r2, r3 = _ONE / (_ONE + exp_cell[2, k] * q), _ONE / (_ONE + exp_cell[3, k] * q)
        a0, a1, a2, a3 = g0 * r0, g1 * r1, g2 * r2, g3 * r3
        share[0, k] += half - ((a0 + a1) + (a2 + a3))
        a0, a1, a2, a3 = a0 - a0 * r0, a1 - a1 * r1, a2 - a2 * r2, a3 - a3 * r3
        sum_cell[0, k] += a0
        sum_cell[1, k] += a1
        sum_cell[2, k] += a2
        sum_cell[3, k] += a3
        sum_query[j, k] += (a0 + a1) + (a2 + a3)


@kernel
def exact_gradients(
    cells: Array,  # (S, K), stored type
    query: Array,  # (B, K)
    j: int,
    grad_scores: Array,  # (B, S)
    b: int,
    s: int,
    sum_cell: Array,
    sum_query: Array,
    share: Array,
) -> None:
    """``fast_gradients`` for any numbers."""
    for i in range(min(_CELLS, len(cells) - s)):
        grad = grad_scores[b, s + i]
        for k in range(query.shape[1]):
            tanh = math.tanh(decode(cells[s + i, k]) + query[b, k])
            slope = _QUARTER * (grad - grad * tanh * tanh)
            sum_cell[i, k] += slope
            sum_query[j, k] += slope
            share[0, k] += _HALF * grad * tanh


@kernel
def put_gradient(weight: Array, sum_cell: Array, accumulate: bool, out: Array, s: int) -> None:
    """Write the gradients of the cells ``s .. s + 3`` to (S, K), or add them."""
    for i in range(min(_CELLS, len(out) - s)):
        if accumulate:
            for k in range(weight.size):
                before = out[s + i, k]
                sum_here = decode(before) + _FOUR * weight[k] * sum_cell[i, k]
                out[s + i, k] = encode(sum_here, before)
        else:
            for k in range(weight.size):
                out[s + i, k] = encode(_FOUR * weight[k] * sum_cell[i, k], out[s + i, k])


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
    like = np.empty(width, np.float32)
    exp_query, exp_cell = aligned_rows(n_most, like), aligned_rows(_CELLS, like)
    fast_query = np.zeros(n_most, np.bool_)
    sum_query, sum_cell = aligned_rows(n_most, weight), aligned_rows(_CELLS, weight)
    share = aligned_rows(1, weight)
    for u in range(first, last):
        cells = projected[u]
        group = order[start[u] : start[u + 1]]
        share[:] = 0
        sum_query[: group.size] = 0
        for j in range(group.size):
            fast_query[j] = not exact and exp_twice(query, group[j], exp_query, j)
        for s in range(0, n_cells, _CELLS):
            fast_cells = not exact and group.size > 0 and exp_cells(cells, s, exp_cell)
            for i in range(_CELLS):
                for k in range(width):
                    sum_cell[i, k] = 0
            for j in range(group.size):
                pair = (j, grad_scores, group[j], s, sum_cell, sum_query, share)
                if fast_cells and fast_query[j]:
                    fast_gradients(exp_cell, exp_query, *pair, width)
                else:
                    exact_gradients(cells, query, *pair)
            if grad_projected.size:
                put_gradient(weight, sum_cell, accumulate, grad_projected[u], s)
        for k in range(width):
            grad_weight[u, k] = _TWO * share[0, k]
        for j in range(group.size):
            b = group[j]
            for k in range(width):
                grad_query[b, k] = _FOUR * weight[k] * sum_query[j, k]
