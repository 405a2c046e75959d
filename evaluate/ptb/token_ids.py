"""Tokenised captions as integers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class TokenIds:
    """Some captions as numbers: caption i is ``ids[offsets[i]:offsets[i + 1]]``.

    ``ids`` is int64[T] and indexes a vocabulary shared by all captions of a corpus; ``offsets`` is
    int64[n + 1].
    """

    ids: Int64
    offsets: Int64

    @property
    def lengths(self) -> Int64:
        """The number of tokens of each caption, int64[n]."""
        return np.diff(self.offsets)


def concatenate(first: TokenIds, second: TokenIds) -> TokenIds:
    """The captions of ``first``, then those of ``second``."""
    offsets = np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]])
    return TokenIds(np.concatenate([first.ids, second.ids]), offsets)
