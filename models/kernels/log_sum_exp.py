"""Numba kernels of ``log Σ exp`` over a row of scores, read where it lies in its stored type."""

import numpy as np

from .compile import Array, decode, exact_kernel, kernel

_BLOCK = 512  # exponentials that are summed in float32; the blocks' sums are added in float64

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
