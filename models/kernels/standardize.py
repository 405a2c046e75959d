"""The Numba kernel that standardises vectors in one sweep."""

import numpy as np

from .compile import Array, decode, encode, kernel


@kernel
def standardize_rows(
    rows: Array,  # (R, D), stored type
    scale: Array,  # (R,), stored type: what a row is multiplied by; or (0,): nothing
    mean: Array,  # (D,) float32
    inverse_deviation: Array,  # (D,) float32
    unit: bool,
    epsilon: float,
    first: int,
    last: int,
    out: Array,  # (R, D) float32, or bfloat16's bits: out
) -> None:
    """Standardise channels of the rows ``first .. last - 1``; if ``unit``, then their lengths."""
    width = rows.shape[1]
    row = np.empty(width, np.float32)
    one = np.float32(1)
    for r in range(first, last):
        stored, result = rows[r], out[r]
        factor = decode(scale[r]) if scale.size else one
        total = np.float32(0)
        for d in range(width):
            x = (factor * decode(stored[d]) - mean[d]) * inverse_deviation[d]
            row[d] = x
            total += x * x
        length = np.float32(1 / np.sqrt(total / width + epsilon)) if unit else one
        for d in range(width):
            result[d] = encode(row[d] * length, result[d])
