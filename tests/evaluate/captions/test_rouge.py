"""ROUGE-L, array version and compiled, against the plain table of subsequences."""

import numpy as np
import pytest
from frostgrid.evaluate.captions.rouge import lcs_length, lcs_lengths, rouge_l
from frostgrid.evaluate.captions.rouge_kernel import compiled_lcs_lengths
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import caption_metrics
from reference.caption_corpora import WordCorpus, corpus_of, word_corpora, words_of


@settings(deadline=None)
@given(word_corpora())
def test_scores_equal_the_plain_ones(words: WordCorpus) -> None:
    corpus = corpus_of(words)
    common = lcs_lengths(corpus)
    np.testing.assert_array_equal(compiled_lcs_lengths(corpus), common)
    plain = [caption_metrics.rouge_l(p, r) for p, r in zip(*words, strict=True)]
    np.testing.assert_allclose(rouge_l(corpus, common), plain, rtol=1e-12)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), max_size=150), st.lists(st.integers(0, 2), max_size=150))
def test_bits_equal_the_table(first: list[int], second: list[int]) -> None:
    plain = caption_metrics.lcs([str(i) for i in first], [str(i) for i in second])
    assert lcs_length(first, second) == plain


def score(hypothesis: str, *references: str) -> float:
    corpus = corpus_of(words_of((hypothesis, references)))
    return float(rouge_l(corpus, lcs_lengths(corpus))[0])


def test_precision_and_recall_may_come_from_different_references() -> None:
    # Precision 1 from the long reference, recall 1 from the short one.
    assert score("a b c", "a b c d e f", "a") == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("hypothesis", "reference", "expected"), [("", "", 1.0), ("", "a", 0.0), ("a", "", 0.0)]
)
def test_an_empty_caption_is_one_empty_token(
    hypothesis: str, reference: str, expected: float
) -> None:
    assert score(hypothesis, reference) == expected
