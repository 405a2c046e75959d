"""Per-cell bytes, one value at a time."""

import math

import numpy as np
from numpy.typing import NDArray


def quantize_plainly(
    grid: NDArray[np.float32],
) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """As ``frostgrid.featurize.file.quantize.quantize``."""
    n, s, d = grid.shape
    cells, scales = np.zeros((n, s, d), np.uint8), np.zeros((n, s), np.float16)
    for i in range(n):
        for j in range(s):
            exact = np.float32(max(grid[i, j])) / np.float32(255)
            scale = np.float16(exact)
            if float(scale) < float(exact):
                scale = np.nextafter(scale, np.float16(math.inf))
            scales[i, j] = scale
            for k in range(d):
                if scale:
                    cells[i, j, k] = round(float(grid[i, j, k] / np.float32(scale)))
    return cells, scales
