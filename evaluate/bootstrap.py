"""Bootstrap over images (Efron 1979), from sufficient statistics: no metric is computed again.

Everything that an image contributes, such as all its questions, is drawn together.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


NO_INTERVAL = Interval(math.nan, math.nan)
# With at least this many images a kind, one binomial number a kind is cheaper than drawing images.
IMAGES_PER_KIND = 4
# How many image multiplicities are held in memory at once.
BLOCK_NUMBERS = 1 << 21


def resample(statistics: Float64, n_images: int, n_resamples: int, seed: list[int]) -> Float64:
    """The sums of the statistics over images drawn with replacement: float64[R, C].

    ``statistics`` is float64[J, C], of the J images that have any, out of ``n_images``; the others
    count as rows of zeros. Images with the same statistics are of one kind, and how often each kind
    is drawn follows a multinomial distribution: with few kinds that takes few random numbers.
    """
    random = np.random.default_rng(seed)
    kinds, sizes = distinct_rows(statistics)
    if len(kinds) * IMAGES_PER_KIND <= n_images:
        shares = np.append(sizes, n_images - len(statistics)) / n_images
        times = random.multinomial(n_images, shares / shares.sum(), n_resamples)
        return np.asarray(times[:, :-1] @ kinds)
    sums = np.empty((n_resamples, statistics.shape[1]))
    n_rows = max(1, BLOCK_NUMBERS // n_images)
    for first in range(0, n_resamples, n_rows):
        block = sums[first : first + n_rows]
        multiplicities = np.empty((len(block), len(statistics)))
        for row in multiplicities:
            drawn = np.bincount(random.integers(0, n_images, n_images), minlength=n_images)
            row[:] = drawn[: len(statistics)]
        block[:] = multiplicities @ statistics
    return sums


def distinct_rows(rows: Float64) -> tuple[Float64, NDArray[np.int64]]:
    """The distinct rows of float64[J, C], and how often each occurs, int64."""
    if len(rows) == 0:
        return rows, np.zeros(0, np.int64)
    ordered = rows[np.lexsort(rows.T[::-1])]
    starts = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    return ordered[starts], np.diff(np.append(starts, len(ordered)))


def percentile_interval(values: Float64, confidence: float) -> Interval:
    """The interval that holds the middle of the resampled values (float64[R], NaN left out)."""
    tail = 50 * (1 - confidence)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return NO_INTERVAL
    low, high = np.percentile(values, (tail, 100 - tail))
    return Interval(float(low), float(high))


def paired_p_value(difference: float, resampled: Float64) -> float:
    """The two-sided probability of such a difference if there were none (Riezler & Maxwell 2005).

    ``resampled`` (float64[R]) holds the differences on the same images drawn for both. Shifted to a
    mean of zero, they are what chance makes; counted is how often that is at least as large.
    """
    # Differences that only rounding tells apart count as equal.
    extreme = np.abs(resampled - resampled.mean()) >= abs(difference) - 1e-12
    return float((np.sum(extreme) + 1) / (len(resampled) + 1))
