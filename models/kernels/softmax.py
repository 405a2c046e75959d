"""Numba kernels of ``log Σ exp`` over a row of scores, read where it lies in its stored type."""

import numpy as np

from .compile import Array, decode, exact_kernel, kernel
from .exponential import exp

_BLOCK = 512  # exponentials that are summed in float32; the blocks' sums are added in float64

# exp(-87) is still a normal number; what is smaller counts as 0.
_LOWEST = np.float32(-87)
_ZERO = np.float32(0)
_MAGNITUDE = np.int32(0x7FFFFFFF)


@exact_kernel
def exp_of(row: Array, high: np.float32, low: np.float32, out: Array) -> None:
    """``exp((row - high) - low)`` (V,) float32, for what is at most about 0.

    NaN gives NaN, and so does the infinity that is its own shift.
    """
    for k in range(row.size):
        x = (decode(row[k]) - high) - low
        out[k] = _ZERO if x < _LOWEST else exp(x)


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
