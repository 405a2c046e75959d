"""Whole captions against the official scores, and what surrounds the numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frostgrid.errors import InputError
from frostgrid.evaluate.captions import scores as captions
from frostgrid.evaluate.captions.scores import METRICS, score_captions
from frostgrid.evaluate.ptb import tokenizer as ptb

# Images (id, prediction, references) and what pycocoevalcap 1.2 says of them.
GOLDEN = json.loads(Path(__file__).with_name("golden_scores.json").read_text("utf-8"))


@pytest.fixture(params=["plain", "compiled"])
def _code(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "compiled":
        monkeypatch.setattr(captions, "LARGE_TOKENS", 0)
        monkeypatch.setattr(ptb, "LARGE_CHARACTERS", 0)


@pytest.mark.usefixtures("_code")
@pytest.mark.parametrize("golden", GOLDEN)
def test_scores_equal_the_official_ones(golden: dict[str, Any]) -> None:
    scores = score_captions(*zip(*golden["images"], strict=True))
    official = golden["official"]
    close = {"rtol": 1e-9, "atol": 1e-300}
    np.testing.assert_allclose(scores.bleu(), official["bleu"], **close)
    np.testing.assert_allclose(scores.bleu_per_image(), official["bleu_per_image"], **close)
    np.testing.assert_allclose(scores.rouge_mean(), official["rouge_l"], **close)
    np.testing.assert_allclose(scores.rouge_l, official["rouge_l_per_image"], **close)
    np.testing.assert_allclose(scores.cider_mean(), official["cider"], **close)
    np.testing.assert_allclose(scores.cider, official["cider_per_image"], **close)
    assert scores.image_id.tolist() == [image for image, _, _ in golden["images"]]


def test_weights_count_an_image_so_often() -> None:
    images = GOLDEN[0]["images"]
    scores = score_captions(*zip(*images, strict=True))
    weights = np.random.default_rng(0).multinomial(len(images), np.full(len(images), 1 / 40))
    drawn = np.repeat(np.arange(len(images)), weights)
    assert scores.bleu(weights) == pytest.approx(
        captions.bleu_from_statistics(scores.bleu_statistics[drawn].sum(axis=0)).tolist()
    )
    assert scores.rouge_mean(weights) == pytest.approx(scores.rouge_l[drawn].mean())
    assert scores.cider_mean(weights) == pytest.approx(scores.cider[drawn].mean())


@pytest.mark.parametrize("metric", METRICS)
def test_only_what_is_asked_for_is_computed(metric: str) -> None:
    scores = score_captions([1, 2], ["a dog", "b"], [["a dog runs"], ["c"]], (metric,))
    everything = score_captions([1, 2], ["a dog", "b"], [["a dog runs"], ["c"]])
    for name, field in [("bleu", "bleu_statistics"), ("rouge_l", "rouge_l"), ("cider", "cider")]:
        got = getattr(scores, field)
        if name == metric:
            np.testing.assert_array_equal(got, getattr(everything, field))
        else:
            assert np.isnan(got).all() if got.dtype.kind == "f" else not got.any()


def test_a_no_break_space_splits_words_for_bleu_and_cider_but_not_for_rouge() -> None:
    scores = score_captions([1, 2], ["3 1/2", "x"], [["3 apples"], ["y"]])
    assert scores.bleu_statistics[0].tolist() == [1, 0, 0, 0, 2, 1, 0, 0, 2, 2]
    assert scores.rouge_l[0] == 0.0
    assert scores.cider[0] > 0


def test_references_and_predictions_are_two_texts() -> None:
    # "vitamin C." keeps its period before a small letter: the next reference, never a prediction.
    scores = score_captions([1], ["vitamin C."], [["vitamin C.", "the end"]])
    assert scores.bleu_statistics[0].tolist() == [2, 1, 0, 0, 2, 1, 0, 0, 2, 2]


@pytest.mark.usefixtures("_code")
def test_no_image_at_all() -> None:
    scores = score_captions([], [], [])
    assert scores.bleu_statistics.shape == (0, 10)
    assert len(scores.rouge_l) == len(scores.cider) == 0


def test_an_image_without_reference_is_named() -> None:
    with pytest.raises(InputError, match=r"Image 42 has no reference caption"):
        score_captions([7, 42], ["a", "b"], [["a"], []])


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        score_captions([7, 42], ["a", "b"], [["a"]])


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(ValueError, match=r"meteor.*bleu"):
        score_captions([1], ["a"], [["a"]], ("meteor",))


def test_the_signature_names_tokenizer_and_deviation() -> None:
    assert ptb.VERSION in captions.SIGNATURE
    assert "lineseparators:space" in captions.SIGNATURE
