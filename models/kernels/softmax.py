"""Numba kernels over rows of class scores: ``log Σ exp``, cross-entropy and the k largest.

A row is read in place, in its stored type, and is in the cache when it is read a second time; the
only output as large as the scores is their gradient.
"""

import numpy as np

from .compile import Array, decode, encode, exact_kernel, kernel
from .exponential import exp

_BLOCK = 512  # exponentials summed in float32; the sums of the blocks are added in float64
_SKIPPED = 256  # scores skipped at once where none of them is large enough

# exp(-87) is still a normal number; what is smaller counts as 0.
_LOWEST = np.float32(-87)
_ZERO = np.float32(0)
_MAGNITUDE = np.int32(0x7FFFFFFF)


@exact_kernel
def exp_of(row: Array, high: np.float32, low: np.float32, out: Array) -> None:
    """``exp((row - high) - low)`` (V,) float32, for exponents of at most about 0.

    NaN gives NaN, and so does ``inf - inf``.
    """
    for k in range(row.size):
        x = (decode(row[k]) - high) - low
        out[k] = _ZERO if x < _LOWEST else exp(x)


@kernel
def largest(row: Array) -> np.float32:
    """The largest of scores (V,), compared as integers, which LLVM vectorises in spite of NaN."""
    found = np.int32(-0x80000000)
    for k in range(row.size):
        bits = np.float32(decode(row[k])).view(np.int32)
        # The bits of negative numbers are in reverse order.
        key = np.int32(bits ^ np.int32(np.int32(bits >> np.int32(31)) & _MAGNITUDE))
        found = max(found, key)
    bits = np.int32(found ^ np.int32(np.int32(found >> np.int32(31)) & _MAGNITUDE))
    return np.int32(bits).view(np.float32)


@kernel
def add_up(row: Array) -> float:
    """The sum of a few float32 numbers, in float32."""
    total = _ZERO
    for k in range(row.size):
        total += row[k]
    return float(total)


@kernel
def log_sum_exp(row: Array) -> float:
    """``log Σ exp(row)`` of scores (V,), stored type, in float64; NaN if one is NaN or +inf."""
    shift = largest(row)
    exps = np.empty(min(_BLOCK, row.size), np.float32)
    total = 0.0
    for k in range(0, row.size, _BLOCK):
        part = row[k : k + _BLOCK]
        exp_of(part, shift, _ZERO, exps)
        total += add_up(exps[: part.size])
    return float(shift + np.log(total))


@kernel
def row_losses(
    scores: Array,  # (P, V), stored type
    start: Array,  # (P + 1,): the targets of row r are start[r] .. start[r + 1] - 1
    target: Array,  # (n,), in 0 .. V - 1
    weight: Array,  # (n,) float32
    first: int,
    last: int,
    log_sum: Array,  # (P,) float64: out, the rows' log Σ exp
    loss: Array,  # (P,) float64: out
) -> None:
    """``Σ weight · (log Σ exp(scores) − scores[target])`` of the rows ``first .. last - 1``."""
    for r in range(first, last):
        row = scores[r]
        loss[r] = log_sum[r] = 0
        if start[r] == start[r + 1]:
            continue
        log_sum[r] = log_sum_exp(row)
        for i in range(start[r], start[r + 1]):
            loss[r] += weight[i] * (log_sum[r] - decode(row[target[i]]))


@kernel
def row_gradients(
    scores: Array,  # (P, V), stored type
    start: Array,
    target: Array,
    weight: Array,
    log_sum: Array,  # (P,) float64
    factor: float,  # the gradient of the rows' summed losses
    first: int,
    last: int,
    out: Array,  # (P, V), stored type: out
) -> None:
    """``factor · (Σ weight · softmax(scores) − weights)`` of the rows ``first .. last - 1``."""
    n_classes = scores.shape[1]
    grad = np.empty(n_classes, np.float32)
    for r in range(first, last):
        row, result = scores[r], out[r]
        if start[r] == start[r + 1]:
            result[:] = 0
            continue
        high = np.float32(log_sum[r])
        exp_of(row, high, np.float32(log_sum[r] - high), grad)
        total = 0.0
        for i in range(start[r], start[r + 1]):
            total += weight[i]
        share = np.float32(total * factor)
        for k in range(n_classes):
            grad[k] *= share
        for i in range(start[r], start[r + 1]):
            grad[target[i]] -= np.float32(weight[i] * factor)
        for k in range(n_classes):
            result[k] = encode(grad[k], result[k])


@kernel
def row_log_sums(scores: Array, start: int, first: int, last: int, out: Array) -> None:
    """``log Σ_{v ≥ start} exp(scores[r, v])`` (R,) of the rows ``first .. last - 1``."""
    for r in range(first, last):
        out[r] = log_sum_exp(scores[r, start:])


@kernel
def row_tops(
    scores: Array,  # (R, V), stored type
    start: int,
    log_sum: Array,  # (R,) float32: subtracted from the scores found
    first: int,
    last: int,
    best: Array,  # (R, k) float32: out
    classes: Array,  # (R, k) int64: out
) -> None:
    """The largest scores from class ``start`` on, in order, less ``log_sum``; of equals the first.

    Where fewer than k are above -inf, the rest is -inf with class 0.
    """
    n_best = best.shape[1]
    for r in range(first, last):
        values, found = best[r], classes[r]
        values[:] = -np.inf
        found[:] = 0
        for b in range(start, scores.shape[1], _SKIPPED):
            block = scores[r, b : b + _SKIPPED]
            if not largest(block) > values[n_best - 1]:
                continue
            for j in range(block.size):
                x = decode(block[j])
                i = n_best
                while i > 0 and x > values[i - 1]:
                    i -= 1
                if i < n_best:
                    for m in range(n_best - 1, i, -1):
                        values[m], found[m] = values[m - 1], found[m - 1]
                    values[i], found[i] = x, b + j
        values -= log_sum[r]
