"""BLEU's statistics and formula, array version and compiled, against plain counting."""

import numpy as np
import pytest
from frostgrid.evaluate.captions.bleu import bleu_from_statistics, bleu_statistics, clipped_matches
from frostgrid.evaluate.captions.ngram_kernels import compiled_matches
from hypothesis import given, settings
from reference import caption_metrics
from reference.caption_corpora import WordCorpus, corpus_of, word_corpora, words_of


@settings(deadline=None)
@given(word_corpora())
def test_statistics_equal_plain_counting(words: WordCorpus) -> None:
    corpus = corpus_of(words)
    matches = clipped_matches(corpus)
    np.testing.assert_array_equal(compiled_matches(corpus), matches)
    plain = [caption_metrics.bleu_statistics(p, r) for p, r in zip(*words, strict=True)]
    statistics = bleu_statistics(corpus, matches)
    assert statistics.tolist() == plain
    scores = [caption_metrics.bleu(row) for row in plain]
    np.testing.assert_allclose(
        bleu_from_statistics(statistics), np.array(scores).reshape(-1, 4), rtol=1e-12
    )


def statistics_of(hypothesis: str, *references: str) -> list[int]:
    corpus = corpus_of(words_of((hypothesis, references)))
    return list(bleu_statistics(corpus, clipped_matches(corpus))[0].tolist())


def test_a_match_is_clipped_at_the_highest_count_in_one_reference() -> None:
    assert statistics_of("the the the the", "the cat the", "the the")[:4] == [2, 1, 0, 0]


@pytest.mark.parametrize(
    ("references", "closest"),
    [(["a b", "a b c d"], 2), (["a b c d", "a b"], 2), (["a", "a b c d"], 4), ([""], 0)],
)
def test_the_closest_reference_length_is_the_shorter_of_two_as_close(
    references: list[str], closest: int
) -> None:
    assert statistics_of("x y z", *references)[9] == closest


def test_no_match_of_an_order_gives_a_small_number_not_zero() -> None:
    score = bleu_from_statistics(np.array([4, 3, 2, 0, 5, 4, 3, 2, 5, 5]))
    assert 1e-5 < score[3] < 1e-3


def test_an_empty_prediction_scores_zero() -> None:
    score = bleu_from_statistics(np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 7]))
    assert score.tolist() == [0, 0, 0, 0]


def test_many_resamples_at_once_equal_one_at_a_time() -> None:
    sums = np.random.default_rng(0).integers(1, 50, (7, 10))
    together = bleu_from_statistics(sums)
    assert together.shape == (7, 4)
    for row, scores in zip(sums, together, strict=True):
        np.testing.assert_array_equal(bleu_from_statistics(row), scores)
