"""Captions as integers, and their n-grams counted with array operations."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..ptb.token_ids import Int64, TokenIds, concatenate

MAX_ORDER = 4


@dataclass(frozen=True)
class Corpus:
    """N images' predictions, one each, and their references, one or more each.

    The references of image i are captions ``image_offsets[i]`` to ``image_offsets[i + 1]``
    (int64[N + 1]) of ``references``; ``n_words`` is the size of the shared vocabulary.
    """

    predictions: TokenIds
    references: TokenIds
    image_offsets: Int64
    n_words: int

    @property
    def n_tokens(self) -> int:
        """The number of tokens in all."""
        return len(self.predictions.ids) + len(self.references.ids)

    @property
    def n_images(self) -> int:
        """The number of images N."""
        return len(self.image_offsets) - 1

    @cached_property
    def reference_image(self) -> Int64:
        """The image of each reference, int64[R]."""
        return np.repeat(np.arange(self.n_images), np.diff(self.image_offsets))

    @cached_property
    def matched(self) -> "list[MatchedCounts]":
        """The n-grams of predictions and references, joined by image, order 1 to 4."""
        return match_ngrams(self)


@dataclass(frozen=True)
class NgramCounts:
    """The distinct n-grams of each caption: ``caption[j]`` holds ``ngram[j]`` ``count[j]`` times.

    All int64[M], in order of caption, then n-gram; n-grams are numbered from 0 to ``n_ngrams - 1``.
    """

    caption: Int64
    ngram: Int64
    count: Int64
    n_ngrams: int


def count_ngrams(tokens: TokenIds) -> list[NgramCounts]:
    """Count the n-grams of every caption, order 1 to 4.

    An n-gram is a pair (its first n - 1 tokens, its last), so that every order is numbered from the
    numbers of the order before and the keys stay small whatever n is.
    """
    caption = np.repeat(np.arange(len(tokens.lengths)), tokens.lengths)
    end = np.repeat(tokens.offsets[1:], tokens.lengths)
    position = np.arange(len(tokens.ids))
    words, ngram = np.unique(tokens.ids, return_inverse=True)
    word = ngram = ngram.reshape(-1)
    n_ngrams = len(words)
    counts = []
    for order in range(1, MAX_ORDER + 1):
        if order > 1:
            inside = position + order - 1 < end[position]
            position = position[inside]
            pairs = ngram[inside] * len(words) + word[position + order - 1]
            kinds, ngram = np.unique(pairs, return_inverse=True)
            ngram = ngram.reshape(-1)
            n_ngrams = len(kinds)
        rows, count = np.unique(caption[position] * n_ngrams + ngram, return_counts=True)
        owner, kind = np.divmod(rows, max(n_ngrams, 1))
        counts.append(NgramCounts(owner, kind, count.astype(np.int64), n_ngrams))
    return counts


@dataclass(frozen=True)
class MatchedCounts:
    """One order's n-gram counts of a corpus, with the references' rows joined to the predictions'.

    ``prediction`` and ``reference`` hold the rows of each (captions numbered from 0 in both);
    ``row`` (int64[rows of reference]) is the prediction's row of the same image and n-gram, or -1.
    """

    prediction: NgramCounts
    reference: NgramCounts
    row: Int64


def match_ngrams(corpus: Corpus) -> list[MatchedCounts]:
    """Count the n-grams of predictions and references, and join them by image, order 1 to 4."""
    matched = []
    for counts in count_ngrams(concatenate(corpus.predictions, corpus.references)):
        split = int(np.searchsorted(counts.caption, corpus.n_images))
        n = counts.n_ngrams
        hypothesis = NgramCounts(
            counts.caption[:split], counts.ngram[:split], counts.count[:split], n
        )
        reference = NgramCounts(
            counts.caption[split:] - corpus.n_images, counts.ngram[split:], counts.count[split:], n
        )
        keys = hypothesis.caption * n + hypothesis.ngram
        wanted = corpus.reference_image[reference.caption] * n + reference.ngram
        row = np.searchsorted(keys, wanted)
        found = row < len(keys)
        found[found] = keys[row[found]] == wanted[found]
        matched.append(MatchedCounts(hypothesis, reference, np.where(found, row, -1)))
    return matched
