import numpy as np
import pytest
from frostgrid.evaluate.captions.cider import cider, cosines
from frostgrid.evaluate.captions.ngrams import Corpus
from frostgrid.evaluate.captions.reward import CiderReward
from frostgrid.evaluate.ptb.token_ids import TokenIds


def captions(lengths, n_words, rng):
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return TokenIds(rng.integers(0, n_words, offsets[-1]), offsets)


@pytest.mark.parametrize("n_words", [1, 3, 30])
@pytest.mark.parametrize("n_images", [1, 2, 40])
def test_the_reward_is_the_cider_d_of_score(n_images, n_words):
    rng = np.random.default_rng(n_images * n_words)
    per_image = rng.integers(1, 5, n_images)
    references = captions(rng.integers(0, 12, per_image.sum()), n_words, rng)
    offsets = np.concatenate([[0], np.cumsum(per_image)])
    reward = CiderReward(references, offsets)
    for _ in range(3):  # what one call leaves behind is nothing to the next
        found = captions(rng.integers(0, 12, n_images), n_words + 2, rng)  # also unknown words
        corpus = Corpus(found, references, offsets, n_words + 2)
        expected = cider(corpus, cosines(corpus))
        np.testing.assert_allclose(reward.scores(found, np.arange(n_images)), expected, atol=1e-9)


def test_captions_of_any_images_in_any_number():
    rng = np.random.default_rng(0)
    references = captions(np.full(20, 8), 9, rng)
    reward = CiderReward(references, np.arange(0, 21, 2))
    found = captions(rng.integers(1, 12, 30), 9, rng)
    image = rng.integers(0, 10, 30)
    together = reward.scores(found, image)
    for i in range(30):
        ids = found.ids[found.offsets[i] : found.offsets[i + 1]]
        alone = reward.scores(TokenIds(ids, np.array([0, len(ids)])), image[i : i + 1])
        assert alone[0] == pytest.approx(together[i])
    assert len(reward.scores(TokenIds(ids[:0], np.array([0])), image[:0])) == 0


def test_a_reference_without_end_earns_less():
    end = 3
    texts = [[5, 6, 7, 8, end], [5, 9, 10, end], [11, 6, 12, end]]
    offsets = np.cumsum([0, *map(len, texts)])
    reward = CiderReward(TokenIds(np.concatenate(texts), offsets), np.arange(4))
    both = TokenIds(np.array([*texts[0], *texts[0][:-1]]), np.array([0, 5, 9]))
    whole, open_ended = reward.scores(both, np.array([0, 0]))
    assert whole == pytest.approx(10)
    assert open_ended < whole
