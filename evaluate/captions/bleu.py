"""BLEU-1 to BLEU-4 (Papineni et al. 2002) as pycocoevalcap computes it."""

import numpy as np
from numpy.typing import NDArray

from ..ptb.token_ids import Int64
from .ngrams import MAX_ORDER, Corpus

# Kept from the official code: no match gives about 1e-15 ** (1/n), not 0, and no division by zero.
TINY = 1e-15
SMALL = 1e-9

# The columns of the statistics.
MATCHES = slice(0, 4)
TOTALS = slice(4, 8)
HYPOTHESIS_LENGTH = 8
REFERENCE_LENGTH = 9
N_STATISTICS = 10


def clipped_matches(corpus: Corpus) -> Int64:
    """The matches of order 1 to 4 of every image, int64[N, 4].

    An n-gram of the prediction counts at most as often as in that reference that has it most often.
    """
    matches = np.zeros((corpus.n_images, MAX_ORDER), np.int64)
    for order, counts in enumerate(corpus.matched):
        highest = np.zeros(len(counts.prediction.count), np.int64)
        joined = counts.row >= 0
        np.maximum.at(highest, counts.row[joined], counts.reference.count[joined])
        clipped = np.minimum(highest, counts.prediction.count)
        np.add.at(matches[:, order], counts.prediction.caption, clipped)
    return matches


def bleu_statistics(corpus: Corpus, matches: Int64) -> Int64:
    """The sufficient statistics of BLEU, int64[N, 10], from the ``clipped_matches``.

    Columns: clipped matches of order 1 to 4, n-grams of order 1 to 4, length of the prediction,
    length of the reference closest in length.
    """
    statistics = np.zeros((corpus.n_images, N_STATISTICS), np.int64)
    statistics[:, MATCHES] = matches
    lengths = corpus.predictions.lengths
    orders = np.arange(MAX_ORDER)
    statistics[:, TOTALS] = np.maximum(lengths[:, None] - orders, 0)
    statistics[:, HYPOTHESIS_LENGTH] = lengths
    statistics[:, REFERENCE_LENGTH] = closest_lengths(corpus)
    return statistics


def closest_lengths(corpus: Corpus) -> Int64:
    """The reference length closest to each prediction's, int64[N]; the shorter of two as close."""
    if corpus.n_images == 0:
        return np.zeros(0, np.int64)
    lengths = corpus.references.lengths
    distance = np.abs(lengths - corpus.predictions.lengths[corpus.reference_image])
    base = int(lengths.max()) + 1
    best = np.minimum.reduceat(distance * base + lengths, corpus.image_offsets[:-1])
    return np.asarray(best % base, np.int64)


def bleu_from_statistics(statistics: NDArray[np.generic]) -> NDArray[np.float64]:
    """BLEU-1 to BLEU-4, float64[..., 4], from (sums of) statistics [..., 10], as fractions."""
    sums = statistics.astype(np.float64)
    precisions = (sums[..., MATCHES] + TINY) / (sums[..., TOTALS] + SMALL)
    scores = np.cumprod(precisions, axis=-1) ** (1.0 / np.arange(1, MAX_ORDER + 1))
    ratio = (sums[..., HYPOTHESIS_LENGTH] + TINY) / (sums[..., REFERENCE_LENGTH] + SMALL)
    penalty = np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio))
    return np.asarray(scores * penalty[..., None], np.float64)
