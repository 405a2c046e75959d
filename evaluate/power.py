"""How many items would show a difference: sample sizes of paired comparisons.

A difference δ is found at the two-sided level α with probability 1 − β by a test whose standard
error is ``se``, if |δ| is at least (z_{1−α/2} + z_{1−β}) · se (Cohen 1988, ch. 2). A standard error
falls with the square root of the number of items, so that

    n = n₀ · ((z_{1−α/2} + z_{1−β}) · se / δ)²

items are needed if n₀ of them, of just such images, have the standard error ``se``. Miller (2024),
"Adding Error Bars to Evals" (arXiv 2411.00640), plans evaluations so, with errors clustered by what
questions share, here the image; Card et al. (2020), "With Little Power Comes Great Responsibility",
tell why to ask.
"""

import math
from statistics import NormalDist

LEVEL, POWER = 0.05, 0.8
FACTOR = NormalDist().inv_cdf(1 - LEVEL / 2) + NormalDist().inv_cdf(POWER)  # 2.80


def smallest_found(standard_error: float) -> float:
    """The difference that is found with a probability of ``POWER``, in the scores' unit."""
    return FACTOR * standard_error


def items_needed(n: int, difference: float, standard_error: float) -> int | None:
    """How many items find the difference with a probability of ``POWER``; None for none.

    ``standard_error`` is that of the difference on ``n`` items.
    """
    if not difference or not math.isfinite(standard_error):
        return None
    return max(2, math.ceil(n * (FACTOR * standard_error / difference) ** 2))
