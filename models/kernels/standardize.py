"""Standardising vectors on the CPU in one sweep."""

import numpy as np
import torch
from torch import Tensor

from .compile import Array, array_of, decode, encode, kernel
from .threads import run_rows


def standardize(
    cells: Tensor,
    mean: Tensor,
    inverse_deviation: Tensor,
    dtype: torch.dtype,
    unit: bool,
    epsilon: float,
) -> Tensor:
    """See ``models.layers.cells.standardize``."""
    out = torch.empty(cells.shape, dtype=dtype, device=cells.device)
    stored, result = (array_of(x.contiguous().view(-1, x.shape[-1])) for x in (cells, out))
    means, deviations = (array_of(x.float().contiguous()) for x in (mean, inverse_deviation))

    def task(first: int, last: int) -> None:
        standardize_rows(stored, means, deviations, unit, epsilon, first, last, result)

    run_rows(task, len(stored), out.numel())
    return out


@kernel
def standardize_rows(
    rows: Array,  # (R, D), stored type
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
        total = np.float32(0)
        for d in range(width):
            x = (decode(stored[d]) - mean[d]) * inverse_deviation[d]
            row[d] = x
            total += x * x
        length = np.float32(1 / np.sqrt(total / width + epsilon)) if unit else one
        for d in range(width):
            result[d] = encode(row[d] * length, result[d])
