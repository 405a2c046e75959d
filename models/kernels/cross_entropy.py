"""Numba kernels of the cross-entropy with a sparse list of targets, forward and backward.

A row of scores is read where it lies, in its stored type, and is in the cache for its second
reading; nothing of the scores' size is written but their gradient.
"""

import numpy as np

from .compile import Array, decode, encode, kernel
from .softmax import exp_of, log_sum_exp


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
