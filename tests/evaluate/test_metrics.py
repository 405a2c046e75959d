import numpy as np
import pytest
from frostgrid.evaluate.captions.results import caption_families
from frostgrid.evaluate.captions.scores import score_captions
from frostgrid.evaluate.metrics import Resampling, compare, find_intervals, vqa_families
from frostgrid.evaluate.vqa.accuracy import Groups, VqaScores


def make_scores(n_images=200, quality=0.5, seed=0, noise_seed=1):
    """Questions on images, some asked about often, answered well with probability ``quality``."""
    rng = np.random.default_rng(seed)
    image = np.repeat(np.arange(n_images), rng.integers(1, 6, n_images))
    member = rng.integers(0, 3, len(image)).astype(np.int32)
    right = np.random.default_rng(noise_seed).random(len(image)) < quality
    return VqaScores(
        list(range(len(image))),
        image.tolist(),
        Groups(["what", "is", "how"], member),
        Groups(["other"], np.zeros(len(image), np.int32)),
        np.where(right, rng.choice([0.3, 0.6, 0.9, 1.0], len(image)), 0.0),
    )


def resample_questions(scores, chosen, n_resamples):
    """Percentages of the chosen questions, images drawn one by one with all their questions."""
    rng = np.random.default_rng(5)
    questions = {}
    for k, image in enumerate(scores.image_ids):
        questions.setdefault(image, []).append(k)
    images = list(questions)
    values = []
    for _ in range(n_resamples):
        drawn = [k for i in rng.integers(0, len(images), len(images)) for k in questions[images[i]]]
        kept = [k for k in drawn if chosen[k]]
        values.append(100 * scores.accuracy[kept].mean())
    return np.percentile(values, (2.5, 97.5))


def test_intervals_equal_those_of_drawing_images_one_by_one():
    scores = make_scores()
    families = vqa_families(scores)
    metrics = [family.metrics[0] for family in families]
    assert [metric.name for metric in metrics] == ["overall", "other", "what", "is", "how"]
    assert metrics[0].value == scores.overall
    assert metrics[2].n == (scores.question_type.member == 0).sum()
    intervals = find_intervals(families, Resampling(2000))
    everything = np.ones(len(scores.accuracy), bool)
    what = scores.question_type.member == 0
    for interval, chosen in ((intervals[0], everything), (intervals[2], what)):
        width = interval.high - interval.low
        expected = resample_questions(scores, chosen, 2000)
        assert interval == pytest.approx(expected, abs=0.1 * width)
        assert interval.low < scores.accuracy[chosen].mean() * 100 < interval.high


def test_caption_intervals_are_of_the_corpus_scores():
    words = ["a", "man", "cat", "on", "mat", "red"]
    rng = np.random.default_rng(0)
    captions = [[" ".join(rng.choice(words, 6)) for _ in range(3)] for _ in range(30)]
    scores = score_captions(range(30), [texts[0] for texts in captions], [t[1:] for t in captions])
    (family,) = caption_families(scores)
    values = [metric.value for metric in family.metrics]
    exact = family.combine(family.statistics.sum(axis=0))
    assert values == pytest.approx(exact.tolist())
    weights = np.random.default_rng(3).integers(0, 3, 30)
    drawn = family.combine(weights @ family.statistics)
    expected = [*scores.bleu(weights), scores.rouge_mean(weights), scores.cider_mean(weights)]
    assert drawn == pytest.approx(expected)
    for interval, value in zip(find_intervals([family], Resampling(200)), values, strict=True):
        assert interval.low < value < interval.high


def test_a_real_difference_is_told_from_none():
    weak, strong = make_scores(quality=0.5), make_scores(quality=0.6)
    again = make_scores(quality=0.5, noise_seed=2)
    real = compare(vqa_families(strong), vqa_families(weak), Resampling(500))[0]
    assert real.difference == pytest.approx(strong.overall - weak.overall, abs=0.01)
    assert real.interval.low > 0
    assert real.p_value < 0.01
    chance = compare(vqa_families(again), vqa_families(weak), Resampling(500))[0]
    assert chance.interval.low < 0 < chance.interval.high
    assert chance.p_value > 0.05


def test_pairing_tells_more_than_the_two_intervals():
    weak = make_scores(quality=0.5)
    better = weak.accuracy.copy()
    better[np.flatnonzero(better == 0)[::25]] = 1.0
    strong = VqaScores(
        weak.question_ids, weak.image_ids, weak.question_type, weak.answer_type, better
    )
    families, others = vqa_families(strong), vqa_families(weak)
    mine, theirs = (find_intervals(f, Resampling(500))[0] for f in (families, others))
    assert mine.low < theirs.high  # they overlap
    assert compare(families, others, Resampling(500))[0].p_value < 0.01


def test_one_question_is_no_evidence():
    drawn = make_scores(n_images=30)
    member = np.ones(len(drawn.accuracy), np.int32)
    member[0] = 0
    types = Groups(["what", "is"], member)
    ids = drawn.question_ids, drawn.image_ids, types, drawn.answer_type
    worse, better = drawn.accuracy.copy(), drawn.accuracy.copy()
    worse[0], better[0] = 0.0, 1.0
    families = vqa_families(VqaScores(*ids, better))
    what = compare(families, vqa_families(VqaScores(*ids, worse)), Resampling(500))[2]
    assert (what.metric.name, what.difference) == ("what", 100)
    assert what.p_value > 0.1
    assert np.isnan(what.interval.low)
    assert np.isnan(find_intervals(families, Resampling(50))[2].low)
