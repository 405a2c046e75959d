"""ROUGE-L (Lin 2004) as pycocoevalcap computes it."""

import numpy as np
from numpy.typing import NDArray

from ..ptb.token_ids import Int64
from .ngrams import Corpus

BETA = 1.2


def lcs_length(first: list[int], second: list[int]) -> int:
    """The length of the longest common subsequence of two token lists.

    Bit-parallel (Hyyrö 2004): bit i of ``row`` is 0 where the longest common subsequence grows at
    token i of ``first``; Python's integers are as wide as the caption is long.
    """
    positions: dict[int, int] = {}
    for i, token in enumerate(first):
        positions[token] = positions.get(token, 0) | 1 << i
    full = (1 << len(first)) - 1
    row = full
    for token in second:
        kept = row & positions.get(token, 0)
        row = ((row + kept) | (row - kept)) & full
    return len(first) - row.bit_count()


def lcs_lengths(corpus: Corpus) -> Int64:
    """The longest common subsequence of every reference with its image's prediction, int64[R]."""
    predictions, references = corpus.predictions, corpus.references
    hypothesis_ids, reference_ids = predictions.ids.tolist(), references.ids.tolist()
    starts, ends = predictions.offsets.tolist(), references.offsets.tolist()
    lengths = []
    for j, i in enumerate(corpus.reference_image.tolist()):
        hypothesis = hypothesis_ids[starts[i] : starts[i + 1]]
        lengths.append(lcs_length(hypothesis, reference_ids[ends[j] : ends[j + 1]]))
    return np.array(lengths, np.int64)


def rouge_l(corpus: Corpus, common: Int64) -> NDArray[np.float64]:
    """ROUGE-L of every image, float64[N], from ``common``, the ``lcs_lengths``.

    Quirks kept: the best precision and the best recall may come from different references, and an
    empty caption counts as one empty token, so that two empty captions score 1.
    """
    lengths = corpus.references.lengths
    of_prediction = corpus.predictions.lengths[corpus.reference_image]
    common = common + ((lengths == 0) & (of_prediction == 0))
    starts = corpus.image_offsets[:-1]
    if len(starts) == 0:
        return np.zeros(0)
    precision = np.maximum.reduceat(common / np.maximum(of_prediction, 1), starts)
    recall = np.maximum.reduceat(common / np.maximum(lengths, 1), starts)
    weighted = recall + BETA**2 * precision
    score = (1 + BETA**2) * precision * recall / np.where(weighted > 0, weighted, 1.0)
    return np.asarray(score, np.float64)
