"""Additive attention written out, cell by cell, in float64."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def scores(
    projected: NDArray[Any], query: NDArray[Any], weight: NDArray[Any], image_index: NDArray[Any]
) -> NDArray[np.float64]:
    out = np.zeros((len(query), projected.shape[1]))
    for b, u in enumerate(image_index):
        for s in range(projected.shape[1]):
            for k in range(projected.shape[2]):
                out[b, s] += weight[k] * np.tanh(float(projected[u, s, k]) + float(query[b, k]))
    return out


def weighted_sums(
    values: NDArray[Any], alpha: NDArray[Any], image_index: NDArray[Any]
) -> NDArray[np.float64]:
    out = np.zeros((len(alpha), values.shape[2]))
    for b, u in enumerate(image_index):
        for s in range(values.shape[1]):
            out[b] += float(alpha[b, s]) * values[u, s].astype(np.float64)
    return out
