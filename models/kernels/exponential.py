"""The exponential function in float32, which LLVM vectorises when it is called in a loop."""

import numpy as np

from .compile import exact_kernel

_LOG2_E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_C2, _C3 = np.float32(5.0000001201e-1), np.float32(1.6666665459e-1)
_C4, _C5 = np.float32(4.1665795894e-2), np.float32(8.3334519073e-3)
_C6, _C7 = np.float32(1.3981999507e-3), np.float32(1.9875691500e-4)
_ONE = np.float32(1)
# Adding 1.5 * 2^23 rounds to an integer; 127 more, and the last bits are an exponent's.
_ROUNDER = np.float32(1.5 * 2**23 + 127)


@exact_kernel
def exp(x: np.float32) -> np.float32:
    """``exp(x)`` for -87 to 88, by Cephes' polynomial, within a few last places; NaN for NaN."""
    y = x * _LOG2_E + _ROUNDER
    n = y - _ROUNDER
    f = (x - n * _LN2_HIGH) - n * _LN2_LOW
    p = ((((_C7 * f + _C6) * f + _C5) * f + _C4) * f + _C3) * f + _C2
    power = np.uint32(np.float32(y).view(np.uint32) << np.uint32(23)).view(np.float32)  # 2^n
    return (p * f * f + f + _ONE) * power
