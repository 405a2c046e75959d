"""CIDEr-D of many captions an image, by references whose document frequencies stay: a reward.

N-grams are numbered once, as in :mod:`.ngram_kernels`, whose kernels this goes on from.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ..ptb.token_ids import Int64, TokenIds
from .cider import SIGMA, inverse_frequencies
from .ngram_kernels import EMPTY, document_frequency, extend_ngrams, probe, squared_norm, table_size
from .ngrams import MAX_ORDER


class Order:
    """The n-grams of one order that the references hold.

    ``ngram``: int32[T], the number of the n-gram that starts at each of their tokens; ``weight``:
    float64, the idf of each number; ``norm``: float64[R], the length of each reference's vector.
    """

    def __init__(self, ngram: Any, table: Any, weight: Any, norm: Any) -> None:
        self.ngram, self.weight, self.norm = ngram, weight, norm
        self.keys, self.numbers = table
        self.n_known = len(weight)
        self.count, self.other = (np.zeros(self.n_known, np.int32) for _ in range(2))

    def make_room(self, n: int, idf: float) -> None:
        """Let numbers up to ``n`` be of n-grams that no reference holds."""
        if n > len(self.weight):
            more = (0, 2 * n - len(self.weight))
            self.weight = np.pad(self.weight, more, constant_values=idf)
            self.count, self.other = np.pad(self.count, more), np.pad(self.other, more)


class CiderReward:
    """CIDEr-D (0 to 10) by the references of N images, from which the idf comes.

    The references of image i are captions ``image_offsets[i]`` to ``image_offsets[i + 1]``
    (int64[N + 1]).
    """

    def __init__(self, references: TokenIds, image_offsets: Int64) -> None:
        self.offsets, self.image_offsets = references.offsets, image_offsets
        self.idf = inverse_frequencies(len(image_offsets) - 1)
        self.orders: list[Order] = []
        size = table_size(len(references.ids))
        keys, numbers = np.empty(size, np.int64), np.empty(size, np.int32)
        ngram = np.zeros(len(references.ids), np.int32)
        for order in range(1, MAX_ORDER + 1):
            n = extend_ngrams(references.ids, self.offsets, ngram, order, keys, numbers)
            holders = document_frequency(ngram, self.offsets, image_offsets, n)
            weight = self.idf[holders]
            norm = vector_lengths(ngram, self.offsets, weight)
            table = compact(keys, numbers, n)
            self.orders.append(Order(ngram.copy(), table, weight, norm))

    def scores(self, captions: TokenIds, image: Int64) -> NDArray[np.float64]:
        """The CIDEr-D of captions, each of an image ``int64[n]``: float64[n]."""
        total = np.zeros(len(image))
        ngram = np.zeros(len(captions.ids), np.int32)
        for order, known in enumerate(self.orders, 1):
            table = known.keys, known.numbers, known.n_known
            n = follow_ngrams(captions.ids, captions.offsets, ngram, order, *table)
            known.make_room(n, float(self.idf[0]))
            of_references = known.ngram, self.offsets, self.image_offsets, known.norm
            scratch = known.weight, known.count, known.other
            add_scores(ngram, captions.offsets, image, *of_references, *scratch, total)
        return np.asarray(10.0 * total / MAX_ORDER, np.float64)


@numba.njit(cache=True, nogil=True)
def compact(keys: Any, numbers: Any, n: int) -> Any:
    """The same table in the least memory."""
    size = table_size(n)
    fewer, theirs = np.full(size, EMPTY, np.int64), np.empty(size, np.int32)
    for slot in range(len(keys)):
        if keys[slot] != EMPTY:
            found = probe(fewer, size - 1, keys[slot])
            fewer[found], theirs[found] = keys[slot], numbers[slot]
    return fewer, theirs


@numba.njit(cache=True, nogil=True)
def vector_lengths(ngram: Any, offsets: Any, weight: Any) -> Any:
    """The length of each caption's vector, float64[R]."""
    count = np.zeros(len(weight), np.int32)
    lengths = np.zeros(len(offsets) - 1)
    for caption in range(len(lengths)):
        kinds = ngram[offsets[caption] : offsets[caption + 1]]
        lengths[caption] = np.sqrt(squared_norm(kinds, count, weight))
        for kind in kinds:
            if kind >= 0:
                count[kind] = 0
    return lengths


@numba.njit(cache=True, nogil=True)
def follow_ngrams(
    ids: Any, offsets: Any, ngram: Any, order: int, known: Any, known_numbers: Any, n_known: int
) -> int:
    """As ``extend_ngrams``, by the numbers of a table; n-grams that it lacks get the next ones."""
    size = table_size(len(ids))
    keys, numbers = np.full(size, EMPTY, np.int64), np.empty(size, np.int32)
    n = n_known
    for caption in range(len(offsets) - 1):
        start, end = offsets[caption], offsets[caption + 1]
        for token in range(start, end):
            if token + order > end:
                ngram[token] = -1
                continue
            key = (np.int64(ngram[token]) << 32) | ids[token + order - 1]
            slot = probe(known, len(known) - 1, key)
            if known[slot] != EMPTY:
                ngram[token] = known_numbers[slot]
                continue
            slot = probe(keys, size - 1, key)
            if keys[slot] == EMPTY:
                keys[slot], numbers[slot] = key, n
                n += 1
            ngram[token] = numbers[slot]
    return n


@numba.njit(cache=True, nogil=True)
def add_scores(
    ngram: Any,
    offsets: Any,
    image: Any,
    of_references: Any,
    reference_offsets: Any,
    image_offsets: Any,
    norm: Any,
    weight: Any,
    count: Any,
    other: Any,
    total: Any,
) -> None:
    """Add one order's penalised, clipped cosines, averaged over an image's references.

    ``count`` and ``other`` are zeros, before and after.
    """
    for i in range(len(image)):
        hypothesis = ngram[offsets[i] : offsets[i + 1]]
        own_norm = np.sqrt(squared_norm(hypothesis, count, weight))
        first, last = image_offsets[image[i]], image_offsets[image[i] + 1]
        found = 0.0
        for j in range(first, last):
            reference = of_references[reference_offsets[j] : reference_offsets[j + 1]]
            for kind in reference:
                if kind >= 0:
                    other[kind] += 1
            product = 0.0
            for kind in reference:
                if kind >= 0 and other[kind] > 0:
                    of_reference = other[kind] * weight[kind]
                    product += min(count[kind] * weight[kind], of_reference) * of_reference
                    other[kind] = 0
            norms = own_norm * norm[j]
            delta = max(len(hypothesis) - 1, 0) - max(len(reference) - 1, 0)
            penalty = np.exp(-(delta * delta) / (2 * SIGMA * SIGMA))
            found += penalty * (product / norms if norms != 0 else product)
        total[i] += found / (last - first)
        for kind in hypothesis:
            if kind >= 0:
                count[kind] = 0
