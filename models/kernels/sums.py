"""Numba kernels of the weighted sum over an image's cells, forward and backward.

Four cells at a time, and channels in blocks that stay in the first-level cache, so that a cell is
read from memory once for all queries of its image.
"""

import numpy as np

from .compile import Array, decode, encode, kernel

_BLOCK = 512  # channels: 4 cells and a few sums of 2 KB each


@kernel
def load_cells(values: Array, s: int, d: int, cells: Array) -> None:
    """Copy four cells' block of channels as floats; zeros beyond the last cell."""
    n_cells, n_channels = values.shape
    width = min(cells.shape[1], n_channels - d)
    for i in range(4):
        cell = cells[i]
        if s + i < n_cells:
            stored = values[s + i, d : d + width]
            for k in range(width):
                cell[k] = decode(stored[k])
        else:
            cell[:width] = 0


@kernel
def sum_images(
    values: Array,  # (U, S, D), stored type
    alpha: Array,  # (B, S4), float; S4: S rounded up to a multiple of 4, zeros at the end
    order: Array,
    start: Array,
    first: int,
    last: int,
    out: Array,  # (B, D), float: out
) -> None:
    """Weighted sums of the images ``first .. last - 1``."""
    n_channels = values.shape[2]
    cells = np.empty((4, min(_BLOCK, n_channels)), alpha.dtype)
    c0, c1, c2, c3 = cells[0], cells[1], cells[2], cells[3]
    for u in range(first, last):
        group = order[start[u] : start[u + 1]]
        if group.size == 0:
            continue
        for d in range(0, n_channels, _BLOCK):
            width = min(_BLOCK, n_channels - d)
            for j in range(group.size):
                out[group[j], d : d + width] = 0
            for s in range(0, alpha.shape[1], 4):
                load_cells(values[u], s, d, cells)
                for j in range(group.size):
                    a = alpha[group[j]]
                    a0, a1, a2, a3 = a[s], a[s + 1], a[s + 2], a[s + 3]
                    row = out[group[j], d : d + width]
                    for k in range(width):
                        row[k] += (a0 * c0[k] + a1 * c1[k]) + (a2 * c2[k] + a3 * c3[k])


@kernel
def alpha_gradients(
    values: Array,  # (U, S, D), stored type
    order: Array,
    start: Array,
    first: int,
    last: int,
    grad_out: Array,  # (B, D), float
    grad_alpha: Array,  # (B, S4), float: out
) -> None:
    """Gradient of the weights, for the images ``first .. last - 1``."""
    n_channels = values.shape[2]
    cells = np.empty((4, min(_BLOCK, n_channels)), grad_out.dtype)
    c0, c1, c2, c3 = cells[0], cells[1], cells[2], cells[3]
    zero = np.zeros(1, grad_out.dtype)[0]
    for u in range(first, last):
        group = order[start[u] : start[u + 1]]
        if group.size == 0:
            continue
        for j in range(group.size):
            grad_alpha[group[j]] = 0
        for d in range(0, n_channels, _BLOCK):
            width = min(_BLOCK, n_channels - d)
            for s in range(0, grad_alpha.shape[1], 4):
                load_cells(values[u], s, d, cells)
                for j in range(group.size):
                    grad = grad_out[group[j], d : d + width]
                    t0 = t1 = t2 = t3 = zero
                    for k in range(width):
                        t0 += grad[k] * c0[k]
                        t1 += grad[k] * c1[k]
                        t2 += grad[k] * c2[k]
                        t3 += grad[k] * c3[k]
                    a = grad_alpha[group[j]]
                    a[s] += t0
                    a[s + 1] += t1
                    a[s + 2] += t2
                    a[s + 3] += t3


@kernel
def value_gradients(
    alpha: Array,  # (B, S4), float
    order: Array,
    start: Array,
    first: int,
    last: int,
    grad_out: Array,  # (B, D), float
    grad_values: Array,  # (U, S, D), stored type or float: out
    accumulate: bool,  # add to grad_values instead of overwriting it
) -> None:
    """Gradient of the cells of the images ``first .. last - 1``."""
    n_cells, n_channels = grad_values.shape[1:]
    total = np.empty(min(_BLOCK, n_channels), alpha.dtype)
    for u in range(first, last):
        group = order[start[u] : start[u + 1]]
        if accumulate and group.size == 0:
            continue
        for d in range(0, n_channels, _BLOCK):
            width = min(_BLOCK, n_channels - d)
            for s in range(n_cells):
                out = grad_values[u, s, d : d + width]
                if accumulate:
                    for k in range(width):
                        total[k] = decode(out[k])
                else:
                    total[:width] = 0
                n_fours = group.size // 4 * 4
                for j in range(0, n_fours, 4):
                    b0, b1, b2, b3 = group[j], group[j + 1], group[j + 2], group[j + 3]
                    a0, a1, a2, a3 = alpha[b0, s], alpha[b1, s], alpha[b2, s], alpha[b3, s]
                    g0, g1 = grad_out[b0, d : d + width], grad_out[b1, d : d + width]
                    g2, g3 = grad_out[b2, d : d + width], grad_out[b3, d : d + width]
                    for k in range(width):
                        total[k] += (a0 * g0[k] + a1 * g1[k]) + (a2 * g2[k] + a3 * g3[k])
                for j in range(n_fours, group.size):
                    a = alpha[group[j], s]
                    grad = grad_out[group[j], d : d + width]
                    for k in range(width):
                        total[k] += a * grad[k]
                for k in range(width):
                    out[k] = encode(total[k], out[k])
