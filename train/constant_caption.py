"""The one caption that fits a set's images best: all that a decoder can say which sees nothing.

Without an image a decoder is always in the same state, so it says one sentence of all of them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..evaluate.captions import score_captions

CANDIDATES = 100  # captions that are tried
IMAGES = 300  # that each is scored on


def constant_caption(image_ids: NDArray[np.int64], references: Sequence[Sequence[str]]) -> str:
    """Of captions of training images, the one of the highest CIDEr-D said of others.

    ``image_ids`` int64 ``[N]`` with an entry each of ``references``, their captions.
    """
    chosen = spaced(len(image_ids), IMAGES)
    ids = image_ids[chosen].tolist()
    spoken = [list(references[i]) for i in chosen]
    candidates: list[str] = [references[i][0] for i in spaced(len(image_ids), CANDIDATES)]
    scores = [
        score_captions(ids, [text] * len(ids), spoken, metrics=("cider",)).cider_mean()
        for text in candidates
    ]
    return candidates[int(np.argmax(scores))]


def spaced(n: int, most: int) -> NDArray[np.int64]:
    """At most so many indices below ``n``, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))
