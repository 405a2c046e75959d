"""Cells in one byte a value: per-cell scale, half the size of float16."""

import numpy as np
from numpy.typing import NDArray

LEVELS = 255


def quantize(grid: NDArray[np.floating]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Round cells [N, S, D] of non-negative features to bytes times a scale a cell [N, S].

    A ResNet's stages end in a ReLU, so no value is below zero and none of the 256 levels is lost
    on a sign. The largest value of a cell becomes 255; the error is at most half a scale (plus the
    rounding of the scale to float16, 1/2048). Raises ``ValueError`` for a negative value.
    """
    if grid.size and grid.min() < 0:
        raise ValueError(f"cells to quantise must not be negative, the least is {grid.min()}.")
    # Rounded up to float16's next number, so that the largest value never exceeds 255.
    exact = grid.max(axis=2).astype(np.float32) / LEVELS
    scale = exact.astype(np.float16)
    low = scale.astype(np.float32) < exact
    scale[low] = np.nextafter(scale[low], np.float16(np.inf))
    step = np.where(scale == 0, 1, scale).astype(np.float32)
    return np.rint(grid / step[:, :, None]).astype(np.uint8), scale


def dequantize(cells: NDArray[np.uint8], scale: NDArray[np.float16]) -> NDArray[np.float16]:
    """The features [N, S, D] that bytes and scales [N, S] stand for, in float16."""
    return cells.astype(np.float16) * scale[:, :, None]
