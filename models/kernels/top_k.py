"""Numba kernels that find a row's largest scores and their ``log Σ exp``."""

import numpy as np

from .compile import Array, decode, kernel
from .softmax import largest, log_sum_exp

_BLOCK = 256  # scores that are left out at once where none of them is large enough


@kernel
def row_log_sums(scores: Array, start: int, first: int, last: int, out: Array) -> None:
    """``log Σ_{v ≥ start} exp(scores[r, v])`` (R,) of the rows ``first .. last - 1``."""
    for r in range(first, last):
        out[r] = log_sum_exp(scores[r, start:])


@kernel
def row_tops(
    scores: Array,  # (R, V), stored type
    start: int,
    log_sum: Array,  # (R,) float32: taken from what is found
    first: int,
    last: int,
    best: Array,  # (R, k) float32: out
    place: Array,  # (R, k) int64: out
) -> None:
    """The largest scores from number ``start`` on, in order, less ``log_sum``; of equals the first.

    Where there are fewer than k above -inf, -inf with number 0.
    """
    n_best = best.shape[1]
    for r in range(first, last):
        values, places = best[r], place[r]
        values[:] = -np.inf
        places[:] = 0
        for b in range(start, scores.shape[1], _BLOCK):
            block = scores[r, b : b + _BLOCK]
            if not largest(block) > values[n_best - 1]:
                continue
            for j in range(block.size):
                x = decode(block[j])
                i = n_best
                while i > 0 and x > values[i - 1]:
                    i -= 1
                if i < n_best:
                    for m in range(n_best - 1, i, -1):
                        values[m], places[m] = values[m - 1], places[m - 1]
                    values[i], places[i] = x, b + j
        values -= log_sum[r]
