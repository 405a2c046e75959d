"""CIDEr-D, array version and compiled, against the plain sums."""

import numpy as np
import pytest
from frostgrid.evaluate.captions.cider import cider, cosines
from frostgrid.evaluate.captions.ngram_kernels import compiled_cosines
from hypothesis import given, settings
from reference import caption_metrics
from reference.caption_corpora import WordCorpus, corpus_of, word_corpora, words_of


@settings(deadline=None)
@given(word_corpora())
def test_scores_equal_the_plain_ones(words: WordCorpus) -> None:
    corpus = corpus_of(words)
    similarity = cosines(corpus)
    np.testing.assert_allclose(compiled_cosines(corpus), similarity, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        cider(corpus, similarity), caption_metrics.cider(*words), rtol=1e-10, atol=1e-14
    )


def scores(*images: tuple[str, list[str]]) -> list[float]:
    corpus = corpus_of(words_of(*images))
    return [float(score) for score in cider(corpus, cosines(corpus))]


def test_one_image_scores_zero() -> None:
    assert scores(("a dog runs", ["a dog runs", "a dog"])) == [0.0]


def test_a_perfect_caption_scores_ten() -> None:
    assert scores(("a b c d", ["a b c d"]), ("e f g h", ["e f g h"])) == pytest.approx([10, 10])


def test_a_term_repeated_earns_nothing_more() -> None:
    once, often = (
        scores(("a b", ["a b"]), ("c d", ["c d"])),
        scores(("a b a b a b", ["a b"]), ("c d", ["c d"])),
    )
    assert often[0] < once[0]


def test_a_longer_caption_is_punished_by_its_bigrams() -> None:
    # One unigram in common and no length penalty: both have no bigram.
    single = scores(("a", ["a"]), ("b", ["b"]))
    assert single == pytest.approx([2.5, 2.5])
    longer = scores(("a", ["a c d e f g h"]), ("b", ["b"]))
    cosine = 1 / np.sqrt(7)
    assert longer[0] == pytest.approx(2.5 * cosine * np.exp(-(6**2) / (2 * 36)))


def test_without_any_image_there_is_no_score() -> None:
    assert scores() == []
