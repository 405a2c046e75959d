"""Counting n-grams with array operations."""

import numpy as np
from frostgrid.evaluate.captions.ngrams import count_ngrams, match_ngrams
from frostgrid.evaluate.ptb.token_ids import TokenIds, concatenate
from hypothesis import given, settings
from reference.caption_corpora import WordCorpus, corpus_of, token_ids, word_corpora
from reference.caption_metrics import ngrams


@settings(deadline=None)
@given(word_corpora())
def test_counts_equal_plain_counting(words: WordCorpus) -> None:
    lines = words.predictions
    for order, counts in enumerate(count_ngrams(token_ids(lines, {})), start=1):
        per_caption = [
            sorted(counts.count[counts.caption == i].tolist()) for i in range(len(lines))
        ]
        assert per_caption == [sorted(ngrams(line, order).values()) for line in lines]
        kinds = {gram for line in lines for gram in ngrams(line, order)}
        assert counts.n_ngrams == len(kinds)
        # The same n-gram has the same number in every caption.
        holders = np.bincount(counts.ngram, minlength=len(kinds))
        assert sorted(holders) == sorted(sum(g in ngrams(li, order) for li in lines) for g in kinds)


@settings(deadline=None)
@given(word_corpora())
def test_joined_rows_are_the_shared_ngrams(words: WordCorpus) -> None:
    corpus = corpus_of(words)
    for order, matched in enumerate(match_ngrams(corpus), start=1):
        shared = [
            len(ngrams(words.predictions[i], order).keys() & ngrams(reference, order).keys())
            for i, references in enumerate(words.references)
            for reference in references
        ]
        joined = matched.reference.caption[matched.row >= 0]
        assert np.bincount(joined, minlength=len(shared)).tolist() == shared
        rows = matched.row[matched.row >= 0]
        np.testing.assert_array_equal(
            matched.prediction.ngram[rows], matched.reference.ngram[matched.row >= 0]
        )


def test_concatenation_keeps_captions_apart() -> None:
    first = TokenIds(np.array([1, 2]), np.array([0, 2]))
    second = TokenIds(np.array([3]), np.array([0, 0, 1]))
    both = concatenate(first, second)
    assert both.ids.tolist() == [1, 2, 3]
    assert both.lengths.tolist() == [2, 0, 1]
