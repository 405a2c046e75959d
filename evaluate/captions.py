"""Caption predictions scored against references: per-image statistics first, totals last."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .bleu import N_STATISTICS, bleu_from_statistics, bleu_statistics
from .cider import cider
from .ngrams import Corpus, Int64, TokenIds, match_ngrams
from .ptb import VERSION, tokenize_captions
from .rouge import lcs_lengths, rouge_l

METRICS = ("bleu", "rouge_l", "cider")

# What a printed score must say of how it came about.
SIGNATURE = f"tok:{VERSION}|lineseparators:space|bleu:closest|rouge:beta1.2|cider:d-sigma6-corpusdf"


@dataclass(frozen=True)
class CaptionScores:
    """The scores of N images; the fields of a metric not asked for hold NaN or zeros.

    ``image_id`` int64[N]; ``bleu_statistics`` int64[N, 10] (4 clipped matches, 4 totals, length of
    the prediction, closest reference length); ``rouge_l`` float64[N], fractions; ``cider``
    float64[N], 0 to 10.
    """

    image_id: Int64
    bleu_statistics: Int64
    rouge_l: NDArray[np.float64]
    cider: NDArray[np.float64]

    def bleu(self, weights: NDArray[np.generic] | None = None) -> tuple[float, float, float, float]:
        """Corpus BLEU-1 to BLEU-4; ``weights`` [N] is the multiplicity of each image."""
        sums = (
            self.bleu_statistics.sum(axis=0) if weights is None else weights @ self.bleu_statistics
        )
        b1, b2, b3, b4 = bleu_from_statistics(sums).tolist()
        return b1, b2, b3, b4

    def bleu_per_image(self) -> NDArray[np.float64]:
        """BLEU-1 to BLEU-4 of each image by itself, float64[N, 4]."""
        return bleu_from_statistics(self.bleu_statistics)

    def rouge_mean(self, weights: NDArray[np.generic] | None = None) -> float:
        """The mean ROUGE-L over images."""
        return float(np.average(self.rouge_l, weights=weights))

    def cider_mean(self, weights: NDArray[np.generic] | None = None) -> float:
        """The mean CIDEr-D over images; document frequencies stay those of the whole corpus."""
        return float(np.average(self.cider, weights=weights))


def score_captions(
    image_ids: Sequence[int],
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Collection[str] = METRICS,
) -> CaptionScores:
    """Score N predictions, each against its image's references.

    References are tokenised as one text and predictions as another, in the order given, as
    pycocoevalcap does: for its numbers to the last digit give the images in the order of the
    annotation file's ``images`` and each image's references in the order of its ``annotations``.
    Raises ``InputError`` for an image without reference.
    """
    for image, captions in zip(image_ids, references, strict=True):
        if not captions:
            raise InputError(f"Image {image} has no reference caption; give at least one.")
    corpus = encode(list(predictions), [list(captions) for captions in references])
    n = corpus.n_images
    matched = match_ngrams(corpus)
    return CaptionScores(
        np.array(image_ids, np.int64),
        bleu_statistics(corpus, matched)
        if "bleu" in metrics
        else np.zeros((n, N_STATISTICS), np.int64),
        rouge_l(corpus, lcs_lengths(corpus)) if "rouge_l" in metrics else np.full(n, np.nan),
        cider(corpus, matched) if "cider" in metrics else np.full(n, np.nan),
    )


def encode(predictions: list[str], references: list[list[str]]) -> Corpus:
    """Tokenise both texts and number the tokens."""
    vocabulary: dict[str, int] = {}

    def number(captions: list[str]) -> TokenIds:
        tokens = tokenize_captions(captions)
        ids = [vocabulary.setdefault(word, len(vocabulary)) for line in tokens for word in line]
        offsets = np.cumsum([0, *map(len, tokens)])
        return TokenIds(np.array(ids, np.int64), offsets.astype(np.int64))

    flat = number([caption for captions in references for caption in captions])
    image_offsets = np.cumsum([0, *map(len, references)]).astype(np.int64)
    return Corpus(number(predictions), flat, image_offsets, len(vocabulary))
