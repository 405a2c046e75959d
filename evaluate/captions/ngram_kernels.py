"""BLEU's matches and CIDEr-D's similarities compiled, for large corpora.

N-grams are numbered as pairs: the number of the first n - 1 tokens and the last token.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from ..ptb.token_ids import Int64, concatenate
from .cider import inverse_frequencies
from .ngrams import MAX_ORDER, Corpus

EMPTY = -1


def compiled_matches(corpus: Corpus) -> Int64:
    """As ``bleu.clipped_matches``."""
    predictions, references = corpus.predictions, corpus.references
    return np.asarray(
        count_matches(
            predictions.ids,
            predictions.offsets,
            references.ids,
            references.offsets,
            corpus.image_offsets,
        )
    )


def compiled_cosines(corpus: Corpus) -> NDArray[np.float64]:
    """As ``cider.cosines``."""
    captions = concatenate(corpus.references, corpus.predictions)
    ngram = np.zeros(len(captions.ids), np.int32)
    size = table_size(len(captions.ids))
    keys, numbers = np.empty(size, np.int64), np.empty(size, np.int32)
    inverse = inverse_frequencies(corpus.n_images)
    similarity = np.zeros(len(corpus.reference_image))
    for order in range(1, MAX_ORDER + 1):
        n_ngrams = extend_ngrams(captions.ids, captions.offsets, ngram, order, keys, numbers)
        holders = document_frequency(ngram, captions.offsets, corpus.image_offsets, n_ngrams)
        weight = inverse[holders]
        add_similarities(ngram, captions.offsets, corpus.image_offsets, weight, similarity)
    return similarity


@numba.njit(cache=True, nogil=True)
def table_size(n_keys: int) -> int:
    """A power of two at least twice the number of keys."""
    size = 16
    while size < 2 * n_keys:
        size *= 2
    return size


@numba.njit(cache=True, nogil=True)
def probe(keys: Any, mask: int, key: int) -> Any:
    """Where ``key`` is in an open-addressing table, or the free slot where it belongs."""
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64(mixed >> np.uint64(32)) & mask
    while keys[slot] != EMPTY and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@numba.njit(cache=True, nogil=True)
def count_matches(ids: Any, offsets: Any, ref_ids: Any, ref_offsets: Any, images: Any) -> Any:
    """Clipped matches of order 1 to 4 of every image, int64[N, 4]."""
    matches = np.zeros((len(images) - 1, MAX_ORDER), np.int64)
    longest = 0
    for i in range(len(images) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    size = table_size(MAX_ORDER * longest)
    keys, numbers = np.full(size, EMPTY, np.int64), np.empty(size, np.int32)
    # By number of the n-gram: how often in the prediction, in one reference, most in any reference.
    counts = np.zeros((3, MAX_ORDER * longest + 1), np.int64)
    orders = np.zeros(MAX_ORDER * longest + 1, np.int64)
    for i in range(len(images) - 1):
        hypothesis = ids[offsets[i] : offsets[i + 1]]
        mask = table_size(MAX_ORDER * len(hypothesis)) - 1
        keys[: mask + 1] = EMPTY
        n = number_ngrams(hypothesis, keys, numbers, mask, counts[0], orders)
        counts[2, :n] = 0
        for j in range(images[i], images[i + 1]):
            counts[1, :n] = 0
            reference = ref_ids[ref_offsets[j] : ref_offsets[j + 1]]
            count_known_ngrams(reference, keys, numbers, mask, counts[1])
            for k in range(n):
                counts[2, k] = max(counts[2, k], counts[1, k])
        for k in range(n):
            matches[i, orders[k]] += min(counts[0, k], counts[2, k])
    return matches


@numba.njit(cache=True, nogil=True)
def number_ngrams(caption: Any, keys: Any, numbers: Any, mask: int, count: Any, orders: Any) -> int:
    """Number and count the n-grams of one caption; how many there are."""
    n = 0
    for start in range(len(caption)):
        prefix = 0
        for order in range(min(MAX_ORDER, len(caption) - start)):
            key = (prefix << 32) | caption[start + order]
            slot = probe(keys, mask, key)
            if keys[slot] == EMPTY:
                keys[slot], numbers[slot] = key, n
                count[n], orders[n] = 0, order
                n += 1
            count[numbers[slot]] += 1
            prefix = numbers[slot] + 1
    return n


@numba.njit(cache=True, nogil=True)
def count_known_ngrams(caption: Any, keys: Any, numbers: Any, mask: int, count: Any) -> None:
    """Count those n-grams of a caption that have a number; no longer one has without its prefix."""
    for start in range(len(caption)):
        prefix = 0
        for order in range(min(MAX_ORDER, len(caption) - start)):
            key = (prefix << 32) | caption[start + order]
            slot = probe(keys, mask, key)
            if keys[slot] == EMPTY:
                break
            count[numbers[slot]] += 1
            prefix = numbers[slot] + 1


@numba.njit(cache=True, nogil=True)
def extend_ngrams(ids: Any, offsets: Any, ngram: Any, order: int, keys: Any, numbers: Any) -> int:
    """Turn the numbers of n-grams into those of the n-grams one token longer, in place.

    ``ngram`` int32[T] holds the number of the n-gram that starts at each token, or -1 where none
    does. Returns how many different ones there are.
    """
    mask = len(keys) - 1
    keys[:] = EMPTY
    n = 0
    for caption in range(len(offsets) - 1):
        start, end = offsets[caption], offsets[caption + 1]
        for token in range(start, end):
            if token + order > end:
                ngram[token] = -1
                continue
            key = (np.int64(ngram[token]) << 32) | ids[token + order - 1]
            slot = probe(keys, mask, key)
            if keys[slot] == EMPTY:
                keys[slot], numbers[slot] = key, n
                n += 1
            ngram[token] = numbers[slot]
    return n


@numba.njit(cache=True, nogil=True)
def document_frequency(ngram: Any, offsets: Any, captions: Any, n_ngrams: int) -> Any:
    """In how many images' references each n-gram occurs, int32; see ``add_similarities``."""
    frequency = np.zeros(n_ngrams, np.int32)
    seen = np.full(n_ngrams, -1, np.int32)
    for i in range(len(captions) - 1):
        for token in range(offsets[captions[i]], offsets[captions[i + 1]]):
            kind = ngram[token]
            if kind >= 0 and seen[kind] != i:
                seen[kind] = i
                frequency[kind] += 1
    return frequency


@numba.njit(cache=True, nogil=True)
def squared_norm(kinds: Any, count: Any, weight: Any) -> float:
    """Count the n-grams of a caption into ``count``, and the squared length of its vector."""
    for kind in kinds:
        if kind >= 0:
            count[kind] += 1
    total = 0.0
    for kind in kinds:
        if kind >= 0 and count[kind] > 0:
            total += (count[kind] * weight[kind]) ** 2
            count[kind] = -count[kind]  # done
    for kind in kinds:
        if kind >= 0 and count[kind] < 0:
            count[kind] = -count[kind]
    return total


@numba.njit(cache=True, nogil=True)
def add_similarities(ngram: Any, offsets: Any, captions: Any, weight: Any, similarity: Any) -> None:
    """Add one order's clipped cosine of each reference with its prediction to ``similarity[R]``.

    ``ngram`` numbers the n-grams of all references, then of all predictions; ``offsets`` says where
    each caption starts; ``captions`` which references belong to each image; ``weight`` is the idf.
    """
    n_references = len(similarity)
    count, other = np.zeros(len(weight), np.int32), np.zeros(len(weight), np.int32)
    for i in range(len(captions) - 1):
        hypothesis = ngram[offsets[n_references + i] : offsets[n_references + i + 1]]
        norm = np.sqrt(squared_norm(hypothesis, count, weight))
        for j in range(captions[i], captions[i + 1]):
            reference = ngram[offsets[j] : offsets[j + 1]]
            norms = norm * np.sqrt(squared_norm(reference, other, weight))
            product = 0.0
            for kind in reference:
                if kind >= 0 and other[kind] > 0:
                    of_reference = other[kind] * weight[kind]
                    product += min(count[kind] * weight[kind], of_reference) * of_reference
                    other[kind] = 0
            similarity[j] += product / norms if norms != 0 else product
        for kind in hypothesis:
            if kind >= 0:
                count[kind] = 0
