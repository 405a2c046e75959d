"""Numba kernels of the cross-entropy with a sparse list of targets, forward and backward.

A row of scores is read where it lies, in its stored type, and is in the cache for its second
reading; nothing of the scores' size is written but their gradient.
"""

import numpy as np

from .compile import Array, decode, encode, exact_kernel, kernel

_BLOCK = 512  # classes whose exponentials are summed in float32; the blocks' sums are in float64

# exp(-87) is still a normal number; what is smaller counts as 0.
_LOWEST = np.float32(-87)
_LOG2_E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_C2, _C3 = np.float32(5.0000001201e-1), np.float32(1.6666665459e-1)
_C4, _C5 = np.float32(4.1665795894e-2), np.float32(8.3334519073e-3)
_C6, _C7 = np.float32(1.3981999507e-3), np.float32(1.9875691500e-4)
_ZERO, _ONE = np.float32(0), np.float32(1)
# Adding 1.5 * 2^23 rounds to an integer; 127 more, and the last bits are an exponent's.
_ROUNDER = np.float32(1.5 * 2**23 + 127)
_MAGNITUDE = np.int32(0x7FFFFFFF)


@exact_kernel
def exp_of(row: Array, high: np.float32, low: np.float32, out: Array) -> None:
    """``exp((row - high) - low)`` (V,) float32, by Cephes' polynomial, for what is at most about 0.

    NaN gives NaN, and so does the infinity that is its own shift.
    """
    for k in range(row.size):
        x = (decode(row[k]) - high) - low
        y = x * _LOG2_E + _ROUNDER
        n = y - _ROUNDER
        f = (x - n * _LN2_HIGH) - n * _LN2_LOW
        p = ((((_C7 * f + _C6) * f + _C5) * f + _C4) * f + _C3) * f + _C2
        p = p * f * f + f + _ONE
        power = np.uint32(np.float32(y).view(np.uint32) << np.uint32(23)).view(np.float32)  # 2^n
        out[k] = _ZERO if x < _LOWEST else p * power


@kernel
def largest(row: Array) -> np.float32:
    """The largest of scores (V,), compared as integers, which LLVM vectorises whatever NaN is."""
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
    n_classes = scores.shape[1]
    exps = np.empty(min(_BLOCK, n_classes), np.float32)
    for r in range(first, last):
        row = scores[r]
        loss[r] = log_sum[r] = 0
        if start[r] == start[r + 1]:
            continue
        shift = largest(row)
        total = 0.0
        for k in range(0, n_classes, _BLOCK):
            width = min(_BLOCK, n_classes - k)
            exp_of(row[k : k + width], shift, _ZERO, exps)
            total += add_up(exps[:width])
        log_sum[r] = shift + np.log(total)
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
