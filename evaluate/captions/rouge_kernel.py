"""ROUGE-L's longest common subsequences compiled, for large corpora."""

from typing import Any

import numba
import numpy as np

from ..ptb.token_ids import Int64
from .ngrams import Corpus


def compiled_lcs_lengths(corpus: Corpus) -> Int64:
    """As ``rouge.lcs_lengths``."""
    predictions, references = corpus.predictions, corpus.references
    return np.asarray(
        lcs_all(
            predictions.ids,
            predictions.offsets,
            references.ids,
            references.offsets,
            corpus.image_offsets,
            corpus.n_words,
        )
    )


@numba.njit(cache=True, nogil=True)
def lcs_short(first: Any, second: Any, positions: Any) -> Any:
    """The longest common subsequence with ``first`` of at most 64 tokens (see ``rouge``).

    ``positions`` uint64[n_words], all 0 before and after, has room for each token's positions.
    """
    for i in range(len(first)):
        positions[first[i]] |= np.uint64(1) << np.uint64(i)
    row = ~np.uint64(0)
    for j in range(len(second)):
        kept = row & positions[second[j]]
        row = (row + kept) | (row - kept)
    length = 0
    for i in range(len(first)):
        positions[first[i]] = 0
        length += 1 - int((row >> np.uint64(i)) & np.uint64(1))
    return length


@numba.njit(cache=True, nogil=True)
def lcs_long(first: Any, second: Any) -> Any:
    """The longest common subsequence by dynamic programming, a row at a time."""
    row = np.zeros(len(second) + 1, np.int64)
    for i in range(len(first)):
        diagonal = 0
        for j in range(len(second)):
            above = row[j + 1]
            if first[i] == second[j]:
                row[j + 1] = diagonal + 1
            elif row[j] > above:
                row[j + 1] = row[j]
            diagonal = above
    return row[len(second)]


@numba.njit(cache=True, nogil=True)
def lcs_all(
    ids: Any, offsets: Any, ref_ids: Any, ref_offsets: Any, images: Any, n_words: int
) -> Any:
    """The longest common subsequence of each reference with its prediction, int64[R]."""
    lengths = np.zeros(len(ref_offsets) - 1, np.int64)
    positions = np.zeros(n_words, np.uint64)
    for i in range(len(images) - 1):
        hypothesis = ids[offsets[i] : offsets[i + 1]]
        for j in range(images[i], images[i + 1]):
            reference = ref_ids[ref_offsets[j] : ref_offsets[j + 1]]
            if len(hypothesis) <= 64:
                lengths[j] = lcs_short(hypothesis, reference, positions)
            elif len(reference) <= 64:
                lengths[j] = lcs_short(reference, hypothesis, positions)
            else:
                lengths[j] = lcs_long(hypothesis, reference)
    return lengths
